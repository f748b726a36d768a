"""Which level of a factor is better, and is that more than luck?"""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from selkd.comparison import caveats, levels, looks, pairing, verdict
from selkd.comparison.choosing import choose, few_seeds, without_doubles
from selkd.comparison.contrasts import MOST_WITHIN, Contrasts, pairs_of, refuse_many
from selkd.comparison.factors import OBJECTIVE, column, in_order, labels, resolve
from selkd.comparison.pairs import Pairs, refuse_raw
from selkd.comparison.question import ALPHA, TOGETHER, Plan, Question
from selkd.comparison.records import Records, Watch, read_records
from selkd.comparison.result import ALL, Comparison, Contrast, Metric, Overall, Pairing
from selkd.comparison.tables import Column, Frame
from selkd.comparison.values import metric_of, observed
from selkd.comparison.words import ABSENT, counted, text
from selkd.config.workspace import Workspace
from selkd.errors import UserError, nearest
from selkd.tracking.server import tracking_uri

__all__ = ["Comparison", "Contrast", "Metric", "Overall", "Pairing", "Plan", "Question", "answer", "compare", "read"]

REASONS = 5
MATTERS = 0.01
"""The difference of a share whose power is told where none was named: one point."""


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
    records = read(studies, workspace, uri, fresh=fresh, watch=watch)
    return answer(records, Question(by, metric, baseline, tuple(within), difference, alpha))


def read(
    studies: str | Sequence[str],
    workspace: Workspace | None = None,
    uri: str | None = None,
    *,
    fresh: bool = False,
    watch: Watch = lambda done, total: None,
) -> Records:
    """The records of studies, by way of the workspace's cache."""
    workspace = workspace or Workspace.default()
    names = [studies] if isinstance(studies, str) else list(studies)
    place = uri or tracking_uri(workspace.root)
    records = read_records(names, place, workspace.root / "comparisons", fresh=fresh, watch=watch)
    if records.trials.empty:
        counts = records.excluded["reason"].value_counts()
        reasons = "; ".join(f"{count} {reason}" for reason, count in list(counts.items())[:REASONS])
        raise UserError(
            f"{', '.join(names)}: no finished student to compare. Left out: {reasons or 'no run is there'}."
        )
    return records


def answer(records: Records, question: Question) -> Comparison:
    """The comparison that a question asks of these records."""
    question, plan = _resolved(records, question)
    metric = metric_of(records, question)
    runs, reasons = _asked(records, question)
    names = column(records, question.by, runs)
    order = in_order(sorted(set(names)))
    question = replace(question, baseline=_baseline(question, order))
    refuse_many(question.by, order)

    varying = labels(records, runs)
    heaps = pairing.heaps(varying, names, question.keys, question.within)
    values, missing = observed(records, metric, runs)
    told = records.trials.loc[runs]
    trials = pd.concat([told[["study", "key", "candidate", "ended"]], pairing.placed(varying, heaps), values], axis=1)
    trials = trials.assign(level=names, subset=told["categories"].astype(str))
    trials, doubled = without_doubles(trials)
    trials, best, unchosen = choose(trials, metric)

    pairs = Pairs(trials, order, question.by)
    refuse_raw(metric, question.by, pairs)
    described = pairing.described(heaps, pairs.kind)
    matters = question.difference or (MATTERS if metric.share else None)
    contrasts = Contrasts(question, metric, pairs, matters)

    shown = levels.table(trials, best, pairs.clusters_of(trials), records, metric, question)
    ranked = _ranked(pairs.table, order, metric)
    found, family, sizes = _families(contrasts, pairs_of(question, ranked), trials)
    seeds = {len(set(mine["seed"])) for _, mine in trials[trials["chosen"]].groupby(["level", "cell"])}
    deviation = next(looks.deviations(question, plan, records, seeds), None)
    look = plan.looks.index(max(seeds)) + 1 if deviation is None and plan is not None and plan.looks else None
    if look is not None and plan is not None:
        found, family = _at_look(found, family, contrasts, plan, look)
    shown = levels.marked(shown, found, question.baseline)
    overall = contrasts.overall(ranked) if look is None else None  # no test of its own at a planned look
    left_out = _left_out(records, trials, pd.concat([unchosen, reasons, missing, doubled]), unchosen.index)

    last = look is None or plan is None or look == len(plan.looks)
    words = verdict.Verdict(question, metric, described.unit, shown).sentence(found, overall, matters if last else None)
    said = [
        *caveats.few_pairs(found, sizes, question, described.unit),
        *caveats.luck(pairs.table, pairs.kind),
        *caveats.unpaired(pairs.table, heaps, varying, names),
        *caveats.confounded(heaps, varying, names, question.by),
        *few_seeds(best),
        *caveats.tuning(shown, metric),
        *caveats.budgets(shown),
        *caveats.meaning(question, metric, records),
        *caveats.odd(shown),
        *caveats.origins(records, trials.index[trials["chosen"]]),
        *caveats.left_out(left_out),
    ]
    return Comparison(
        question=replace(question, metric=metric.name),
        metric=metric,
        pairing=described,
        plan=plan,
        look=look,
        records=records,
        levels=shown,
        units=pairs.table,
        trials=trials,
        contrasts=found,
        family=family,
        overall=overall,
        verdict=f"{words} {_standing(deviation, plan, look, found)}",
        exploratory=deviation is not None,
        caveats=list(dict.fromkeys(said)),
        left_out=left_out,
    )


def _resolved(records: Records, question: Question) -> tuple[Question, Plan | None]:
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


def _asked(records: Records, question: Question) -> tuple[pd.Index, Column]:
    """The runs that the question is about, and why others are not.

    Twins belong to the gains of their students; where objectives are compared they are cross-entropy students.
    """
    trials = records.trials
    level = column(records, question.by, trials.index)
    twin = (trials["role"] == "twin") & (not question.by.startswith(OBJECTIVE))
    reasons = pd.Series(f"it has no {question.by}", index=trials.index[(level == ABSENT) & ~twin], dtype=object)
    return trials.index[(level != ABSENT) & ~twin], reasons


def _baseline(question: Question, order: Sequence[str]) -> str | None:
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


def _ranked(units: Frame, order: Sequence[str], metric: Metric) -> list[str]:
    """Levels by their means over the pairs that all have, or over their own."""
    whole = units.dropna()
    means = (whole if len(whole) else units).mean()
    return sorted(order, key=lambda level: (-means[level] if metric.maximise else means[level], order.index(level)))


def _families(contrasts: Contrasts, pairs: Sequence[tuple[str, str]], trials: Frame) -> tuple[list[Contrast], str, int]:
    """Contrasts over all groups, then within each; what p-values were corrected over; and the first family's size."""
    found = contrasts.family(pairs, [ALL]) if pairs else []
    family = f"p-values are corrected (Holm) over {counted(_paired(found), 'contrast')}"
    inside = [group for group in in_order(sorted(set(trials["group"]))) if group != ALL]
    if not inside:
        return found, f"{family}.", len(found)
    count = len(pairs) * len(inside)
    family += " over all groups"
    if count > MOST_WITHIN:
        return found, f"{family}; the {count:,} within single groups are too many to make.", len(found)
    within = contrasts.family(pairs, inside)
    family += f", and apart from these over {counted(_paired(within), 'contrast')} within single groups."
    return [*found, *within], family, len(found)


def _paired(found: Sequence[Contrast]) -> int:
    """Contrasts that have pairs."""
    return sum(one.pairs > 0 for one in found)


def _at_look(
    found: Sequence[Contrast], family: str, contrasts: Contrasts, plan: Plan, look: int
) -> tuple[list[Contrast], str]:
    """Each family held against what this look may spend of alpha."""
    whole, inside = ([one for one in found if (one.group == ALL) == over] for over in (True, False))
    held = [*looks.judged(whole, contrasts, plan, look), *looks.judged(inside, contrasts, plan, look)]
    limits = [f"{looks.bar(plan, look, _paired(each)):.2g}" for each in (whole, inside) if each]
    said = (
        f"This is look {look} of {len(plan.looks)}, which may spend a part of {plan.question.alpha:g} "
        f"({plan.spending}): the smallest p has to be {' and '.join(limits)} at most, before correction"
    )
    least = [one.smallest for one in whole if one.smallest is not None]
    if least and min(least) > looks.bar(plan, look, _paired(whole)):
        said += f". So few pairs cannot go below {min(least):.2g}: this look can tell nothing"
    return held, f"{family} {said}{' (over all groups, and within)' if len(limits) > 1 else ''}."


def _standing(deviation: str | None, plan: Plan | None, look: int | None, found: Sequence[Contrast]) -> str:
    if deviation is not None:
        return f"Exploratory: {deviation}."
    if look is None or plan is None:
        return "Confirmatory: this comparison was declared before the study began."
    said = f"Confirmatory: look {look} of {len(plan.looks)}, declared before the study began."
    if look < len(plan.looks) and any(one.better is None for one in found if one.pairs):
        said += f" The next look is at {plan.looks[look]} seeds: `selkd sweep --extend`."
    return said


def _left_out(records: Records, trials: Frame, reasons: Column, unchosen: pd.Index) -> Frame:
    """Every run that is not in the numbers, with its reason; not those whose setting lost on validation."""
    reasons = reasons[~reasons.index.duplicated()]
    place = pd.Series(list(zip(trials["level"], trials["cell"], strict=True)), index=trials.index, dtype=object)
    decided = {*place[trials["chosen"]]}
    lost = {run for run in trials.index[~trials["chosen"]] if place[run] in decided} - {*unchosen}
    mine = reasons[[run not in lost for run in reasons.index]]
    told = records.trials.loc[mine.index, ["study", "key"]]
    here = told.assign(run=mine.index, reason=mine).reset_index(drop=True)
    frames = [frame for frame in (records.excluded, here) if len(frame)]
    return pd.concat(frames, ignore_index=True)[["study", "key", "run", "reason"]] if frames else here
