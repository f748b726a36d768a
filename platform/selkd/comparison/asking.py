"""The question of a comparison: what was asked, else what the studies declared."""

from collections.abc import Sequence

from selkd.comparison.factors import factors
from selkd.comparison.looks import declared
from selkd.comparison.question import ALPHA, Question
from selkd.comparison.records import Records
from selkd.errors import UserError


def question_of(
    records: Records,
    by: str | None,
    metric: str | None = None,
    baseline: str | None = None,
    within: Sequence[str] = (),
    difference: float | None = None,
    alpha: float = ALPHA,
) -> Question:
    """Without `by`, the declared plan's; where there is none, the error lists what varies."""
    if by is None:
        plan = declared(records)
        if plan is None:
            raise UserError(f"--by: these studies declared no comparison, so say what to compare. {_varying(records)}")
        by = plan.question.by
    return Question(by, metric, baseline, tuple(within), difference, alpha)


def _varying(records: Records) -> str:
    found = factors(records)
    if found.empty:
        return "No key varies in them."
    lines = [f"  --by {key}  ({levels}: {values})" for key, levels, values in found.to_numpy()]
    return "These keys vary:\n" + "\n".join(lines)
