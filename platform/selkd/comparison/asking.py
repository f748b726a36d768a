"""What a comparison is asked: the question, else what the studies declared; its keys, its runs, its baseline."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from selkd.comparison import looks
from selkd.comparison.factors import OBJECTIVE, column, factors, resolve
from selkd.comparison.question import ALPHA, TOGETHER, Plan, Question
from selkd.comparison.records import Records
from selkd.comparison.tables import Column
from selkd.comparison.values import metric_of
from selkd.comparison.words import ABSENT, text
from selkd.errors import UserError, nearest


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
        plan = looks.declared(records)
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


def resolved(records: Records, question: Question) -> tuple[Question, Plan | None]:
    """The question with its keys in full and the plan's answers to what it leaves open, and the plan."""
    by = resolve(records, question.by, "by")
    within = tuple(resolve(records, key, "within") for key in question.within)
    for key in by.split(TOGETHER):
        if key in ("seed", "data.seed"):
            raise UserError(f"by: {key} is luck, of which pairs are made. Ask about a key that was chosen.")
        if key in within:
            raise UserError(f"within: {key} is what is compared. Remove it from one of them.")
    if question.difference is not None and question.difference <= 0:
        raise UserError(f"difference: {question.difference} tells nothing apart. Give one above 0, such as 0.01.")
    if not 0 < question.alpha < 0.5:
        raise UserError(f"alpha: {question.alpha} is no error rate. Give a number such as 0.05.")
    plan = looks.declared(records)
    asked = replace(question, by=by, within=within)
    if question.metric is not None:
        asked = replace(asked, metric=metric_of(records, asked).name)
    return looks.as_declared(asked, plan), plan


def asked(records: Records, question: Question) -> tuple[pd.Index, Column]:
    """The runs that the question is about, and why others are not.

    Twins belong to the gains of their students; where objectives are compared they are cross-entropy students.
    """
    trials = records.trials
    level = column(records, question.by, trials.index)
    twin = (trials["role"] == "twin") & (not question.by.startswith(OBJECTIVE))
    reasons = pd.Series(f"it has no {question.by}", index=trials.index[(level == ABSENT) & ~twin], dtype=object)
    return trials.index[(level != ABSENT) & ~twin], reasons


def baseline_of(question: Question, order: Sequence[str]) -> str | None:
    if question.baseline is None or question.baseline in order:
        return question.baseline
    written = {text(float(level)) if _numeric(level) else level: level for level in order}
    given = text(float(question.baseline)) if _numeric(question.baseline) else question.baseline
    if given in written:
        return written[given]
    raise UserError(
        f"baseline: {question.baseline!r} is no value of {question.by}. {nearest(question.baseline, order)}"
    )


def _numeric(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
