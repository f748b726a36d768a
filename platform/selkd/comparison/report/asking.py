"""The question of a report: what was asked, else what the studies declared."""

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
    alpha: float = ALPHA,
) -> Question:
    """Without `by`, the declared plan's; where there is none, the error lists what varies."""
    if by is None:
        plan = declared(records)
        if plan is None:
            raise UserError(f"by: these studies declared no comparison, so say what to compare. {_varying(records)}")
        by = plan.question.by
    return Question(by, metric, baseline, tuple(within), alpha=alpha)


def _varying(records: Records) -> str:
    found = factors(records)
    if found.empty:
        return "No key varies in these studies."
    listed = "; ".join(f"{row.key} ({row.values})" for row in found.itertuples(index=False))
    return f"These vary: {listed}. For example: `--by {found['key'].iloc[0]}`"
