"""Which level of a factor is better, and is that more than luck?"""

from collections.abc import Sequence

from selkd.comparison.question import ALPHA, Plan, Question
from selkd.comparison.records import Records, Watch
from selkd.comparison.result import Comparison, Contrast, Metric, Overall, Pairing
from selkd.config.workspace import Workspace

__all__ = ["Comparison", "Contrast", "Metric", "Overall", "Pairing", "Plan", "Question", "answer", "compare"]


def compare(
    studies: str | Sequence[str],
    by: str,
    metric: str | None = None,
    *,
    baseline: str | None = None,
    within: Sequence[str] = (),
    difference: float | None = None,
    workspace: Workspace | None = None,
    uri: str | None = None,
    alpha: float = ALPHA,
    fresh: bool = False,
    watch: Watch = lambda done, total: None,
) -> Comparison:
    """Compare the levels of `by` over the trials of studies, as MLflow holds them."""
    raise NotImplementedError


def answer(records: Records, question: Question) -> Comparison:
    """The comparison that a question asks of these records."""
    raise NotImplementedError
