"""Which level of a factor is better, and is that more than luck?"""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from selkd.comparison import caveats, families, levels, looks, pairing, verdict
from selkd.comparison.asking import asked, baseline_of, resolved
from selkd.comparison.choosing import choose, few_seeds, without_doubles
from selkd.comparison.contrasts import Contrasts, pairs_of, refuse_many
from selkd.comparison.factors import column, in_order, labels
from selkd.comparison.pairs import Pairs, refuse_raw
from selkd.comparison.question import ALPHA, Plan, Question
from selkd.comparison.records import Records, Watch, read_records
from selkd.comparison.result import Comparison, Contrast, Metric, Pairing
from selkd.comparison.tables import Column, Frame
from selkd.comparison.values import metric_of, observed
from selkd.config.workspace import Workspace
from selkd.errors import UserError
from selkd.tracking.server import tracking_uri

__all__ = ["Comparison", "Contrast", "Metric", "Pairing", "Plan", "Question", "answer", "compare", "read"]

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
    question, plan = resolved(records, question)
    metric = metric_of(records, question)
    runs, reasons = asked(records, question)
    names = column(records, question.by, runs)
    order = in_order(sorted(set(names)))
    question = replace(question, baseline=baseline_of(question, order))
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
    found, family, sizes = families.families(contrasts, pairs_of(question, ranked), trials)
    seeds = {len(set(mine["seed"])) for _, mine in trials[trials["chosen"]].groupby(["level", "cell"])}
    deviation = next(looks.deviations(question, plan, records, seeds), None)
    look = plan.looks.index(max(seeds)) + 1 if deviation is None and plan is not None and plan.looks else None
    if look is not None and plan is not None:
        found, family = families.at_look(found, family, contrasts, plan, look)
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
        *caveats.absent(records),
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
        verdict=f"{words} {families.standing(deviation, plan, look, found)}",
        exploratory=deviation is not None,
        caveats=list(dict.fromkeys(said)),
        left_out=left_out,
    )


def _ranked(units: Frame, order: Sequence[str], metric: Metric) -> list[str]:
    """Levels by their means over the pairs that all have, or over their own."""
    whole = units.dropna()
    means = (whole if len(whole) else units).mean()
    return sorted(order, key=lambda level: (-means[level] if metric.maximise else means[level], order.index(level)))


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
