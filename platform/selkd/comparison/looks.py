"""The verdict of a study that declared beforehand what is compared, and after how many seeds."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from selkd.comparison.contrasts import Contrasts
from selkd.comparison.excluded import DELETED
from selkd.comparison.factors import in_order, resolve
from selkd.comparison.question import ALPHA, Plan, Question
from selkd.comparison.records import Records
from selkd.comparison.result import Contrast
from selkd.comparison.statistics import LookPlan, decide, paired
from selkd.comparison.values import metric_of


def declared(records: Records) -> Plan | None:
    """The plan that all these studies declared, its keys in full."""
    plans = [study.comparison for study in records.studies.values()]
    if not plans or any(plan is None or plan != plans[0] for plan in plans):
        return None
    plan = Plan.of(plans[0] or {})
    question = replace(
        plan.question,
        by=resolve(records, plan.question.by, "comparison.by"),
        metric=metric_of(records, plan.question).name,
        within=tuple(resolve(records, key, "comparison.within") for key in plan.question.within),
    )
    return replace(plan, question=question)


def as_declared(question: Question, plan: Plan | None) -> Question:
    """The question with the plan's answers to what it leaves open, where both are about the same factor."""
    if plan is None or question.by != plan.question.by or question.metric not in (None, plan.question.metric):
        return question
    given = plan.question
    return replace(
        question,
        metric=given.metric,
        baseline=question.baseline or given.baseline,
        within=question.within or given.within,
        difference=question.difference or given.difference,
        alpha=given.alpha if question.alpha == ALPHA else question.alpha,
    )


def deviations(question: Question, plan: Plan | None, records: Records, seeds: set[int]) -> Iterator[str]:
    """Why the verdict is exploratory; nothing where it is the declared question at a declared look.

    `seeds`: how many the levels have in their groups.
    """
    if plan is None:
        yield "no comparison was declared before the study began"
        return
    if replace(question, difference=None) != (given := replace(plan.question, difference=None)):
        yield f"the study declared another question: {_words(given)}"
    if len(records.studies) > 1:
        yield "several studies are taken together, and each declared a comparison of its own"
    for study in records.studies.values():
        if study.status != "finished":
            yield f"the study is not finished ({study.status}), and whoever looks before it is may look again"
        if study.changed:
            yield "the search space was changed after the study had begun"
        if study.extended and not plan.looks:
            yield "the study was extended, and no looks were declared at which that may be"
    if DELETED in set(records.excluded["reason"]):
        yield "runs of the study were deleted in MLflow"
    if plan.looks and len(seeds) > 1:
        yield f"not every level has as many seeds: {', '.join(map(str, sorted(seeds)))}"
    if plan.looks and not seeds <= {*plan.looks}:
        yield f"{max(seeds)} seeds are none of the looks that were declared, {', '.join(map(str, plan.looks))}"


def bar(plan: Plan, look: int, contrasts: int) -> float:
    """The p-value that the first of so many contrasts has to reach at this look."""
    return LookPlan(plan.looks, plan.question.alpha / max(contrasts, 1), plan.spending).nominal()[look - 1]


def judged(found: Sequence[Contrast], contrasts: Contrasts, plan: Plan, look: int) -> list[Contrast]:
    """Contrasts held against the nominal alpha of this look, with Holm's steps (Ye, Li, Liu and Yao 2013).

    With r contrasts left, each is tested by the boundaries of alpha / r; those told leave, and the rest are tested
    again.
    """
    found = [replace(one, adjusted=None) for one in found]
    history = [[_p(contrasts, one, seeds) for seeds in plan.looks[:look]] for one in found]
    told: set[int] = set()
    while left := [k for k, one in enumerate(found) if one.pairs and k not in told]:
        at = LookPlan(plan.looks, plan.question.alpha / len(left), plan.spending)
        new = [k for k in left if decide(at, plan.looks[:look], history[k]).rejected]
        if not new:
            break
        told.update(new)
    return [replace(one, better=contrasts.leader(one) if k in told else None) for k, one in enumerate(found)]


def _p(contrasts: Contrasts, one: Contrast, seeds: int) -> float:
    """The p-value that the first so many seeds gave; 1 where they gave none."""
    order = in_order(sorted(set(contrasts.pairs.seeds)))[:seeds]
    p = paired(*contrasts.differences(one.level, one.against, one.group, order)).permutation_p
    return 1.0 if math.isnan(p) else p


def _words(question: Question) -> str:
    against = f" against {question.baseline}" if question.baseline else ""
    inside = f" within {', '.join(question.within)}" if question.within else ""
    return f"{question.metric} by {question.by}{against}{inside}"
