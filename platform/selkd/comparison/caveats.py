"""What cannot be said, and what a reader should know before believing the numbers."""

from collections.abc import Iterator, Sequence

import pandas as pd

from selkd.comparison.excluded import REMEDY
from selkd.comparison.factors import SOURCE, SPLIT
from selkd.comparison.pairing import Heaps, never_shared
from selkd.comparison.pairs import ENOUGH_SPLITS
from selkd.comparison.question import TOGETHER, Question
from selkd.comparison.records import Records
from selkd.comparison.result import Contrast, Metric
from selkd.comparison.tables import Column, Frame
from selkd.comparison.words import ABSENT, counted, listed, number

OTHER_ROWS = ("task.mode", SOURCE, SPLIT, "data.test", "data.image_size")
"""Factors whose levels are tested on other rows."""
LONGER = 1.25
"""How many times as long as the quickest level another may take before its time counts as unequal: clocks are noisy."""
ORIGIN = {
    "git.commit": "versions of the code",
    "versions.selkd": "versions of selkd",
    "versions.torch": "versions of torch",
    "hardware.cpu": "kinds of processor",
    "hardware.gpus": "kinds of GPU",
}
"""What should be the same for all trials, and what it is called."""


def few_pairs(contrasts: Sequence[Contrast], family: int, question: Question, unit: str) -> Iterator[str]:
    """Where so few pairs are there that no result could be told."""
    smallest = [(one.smallest, one.clusters) for one in contrasts if one.smallest is not None and one.pairs]
    if not smallest:
        return
    p, units = max(smallest)
    if p > question.alpha:
        yield f"{counted(units, unit)} cannot give a p-value below {p:.4g}: nothing can be told at {question.alpha:g}."
    elif p * family > question.alpha:
        yield (
            f"{counted(units, unit)} cannot give a p-value below {p:.2g}, which Holm's correction over "
            f"{counted(family, 'contrast')} may raise to {min(1.0, p * family):.2g}. A baseline makes fewer contrasts; "
            "more seeds make smaller p-values."
        )


def luck(units: Frame, kind: str | None) -> Iterator[str]:
    """Of which chance the pairs speak."""
    index = units.index.to_frame(index=False)
    splits, seeds = index["split"].nunique(), len(index.drop_duplicates(["split", "seed"]))
    if len(index) and seeds == 1:
        yield "There is one seed: nothing is known of luck."
    if splits == 1:
        yield "All students share one split of the data: the verdict speaks of training randomness only."
    elif splits < ENOUGH_SPLITS and seeds > splits:
        yield (
            f"{splits} splits are too few to count as luck of their own ({ENOUGH_SPLITS} are needed): the verdict "
            "speaks of training randomness on these splits."
        )
    if kind == "subsets":
        yield (
            "The levels' students know different categories, so a gain is compared, and pairs of the same two subsets "
            "count as one. Where policies choose the same subset for every seed, give each seed its own split "
            "(budget.resplit), or compare several sizes."
        )


def unpaired(units: Frame, found: Heaps, labels: Frame, levels: Column) -> Iterator[str]:
    """Where a pair lacks a side, and why."""
    lacking = units.isna() & units.notna().any(axis=1).to_numpy()[:, None]
    for level, count in lacking.sum().items():
        if count:
            yield f"{level} is missing in {counted(int(count), 'pair')} of {len(units)}."
    if len(units.columns) > 1 and not (units.notna().sum(axis=1) > 1).any():
        keys = never_shared(labels, levels, [key for key in (*found.group, *found.unit) if key in labels])
        if keys:
            yield f"No two levels share a value of {listed(keys)}, so nothing pairs."


def confounded(found: Heaps, labels: Frame, levels: Column, by: str) -> Iterator[str]:
    """Keys that differ as the levels do; a component's own settings belong to it."""
    own = tuple(key.rpartition(".")[0] + "." for key in by.split(TOGETHER))
    for key in found.bound:
        present = labels[key] != ABSENT
        values = labels.loc[present, key].groupby(levels[present]).first()
        if not key.startswith(own) and values.nunique() > 1:
            shown = listed([f"{level} {value}" for level, value in values.items()])
            yield f"{key} goes with {by} ({shown}): a difference may be its doing."


def tuning(levels: Frame, metric: Metric) -> Iterator[str]:
    """Unequal search, and the optimism of the best of several."""
    tried = levels.groupby("level", sort=False)["settings"].max()
    if tried.max() > 1 and tried.nunique() > 1:
        shown = [f"{level} {count}" for level, count in tried.items()]
        yield f"Settings tried are unequal ({listed(shown)}): more tries find better settings."
    known = levels["optimism"].dropna()
    if len(known) and known.abs().max() > 0:
        top = levels.loc[known.abs().idxmax()]
        size = number(float(top["optimism"]) * metric.unit, 1 if metric.share else 3)
        points = " points" if metric.share else ""
        yield (
            f"Validation flatters what was chosen on it, by {size}{points} at most ({top['level']}, best of "
            f"{top['settings']}); test values are free of that."
        )
    if levels["optimism"].isna().any():
        yield "With one seed a setting, how much validation flatters the chosen ones is unknown."


def budgets(levels: Frame) -> Iterator[str]:
    """Levels that spend more than others of their group: rows, or time."""
    for group, mine in levels.groupby("group", sort=False):
        inside = f" within {group}" if levels["group"].nunique() > 1 else ""
        longer = mine[mine["seconds"] > LONGER * mine["seconds"].min()]
        if len(longer):
            shown = [f"{row.level} {row.seconds:.3g} s" for row in longer.itertuples()]
            least = f"{mine['seconds'].min():.3g} s of {mine.loc[mine['seconds'].idxmin(), 'level']}"
            yield f"Times are unequal{inside}: {listed(shown)} a student by the clock, against {least}."
        more = mine[mine["unequal"]]
        if len(more):
            least = mine["budget"].min()
            shown = [f"{row.level} {number(row.budget)}" for row in more.itertuples()]
            yield (
                f"Budgets are unequal{inside}: {listed(shown)} rows trained on or scored, against {number(least)} of "
                f"{mine.loc[mine['budget'].idxmin(), 'level']}."
            )


def meaning(question: Question, metric: Metric, records: Records) -> Iterator[str]:
    """What the metric's values are read from."""
    if metric.reported.startswith("validation/"):
        yield "Values are of the validation rows, on which settings were chosen: they are optimistic."
    if not {*OTHER_ROWS}.isdisjoint(question.keys):
        yield f"Levels of {question.by} are tested on different rows: a difference may be one of the rows."
    if len(records.studies) > 1 and question.by != "study" and "study" not in question.within:
        yield f"Students of {counted(len(records.studies), 'study', 'studies')} are taken together."


def origins(records: Records, runs: pd.Index) -> Iterator[str]:
    """Trials that were not made alike."""
    found = records.provenance.loc[runs]
    for name, words in ORIGIN.items():
        if name in found and (count := found[name].nunique(dropna=True)) > 1:
            yield f"Trials come from {count} {words}."
    for name, key in (("fingerprints.data", SOURCE), ("fingerprints.teacher", "teacher")):
        if name in found and key in records.config:
            kinds = found[name].astype(str).groupby(records.config.loc[runs, key].astype(str)).nunique()
            for value in kinds.index[kinds > 1]:
                yield f"{key} {value} is not the same for all trials: its content differs."


def left_out(excluded: Frame) -> Iterator[str]:
    """How many runs are not in the numbers."""
    if len(excluded):
        yield f"{counted(len(excluded), 'run')} left out; the list says why."


def absent(records: Records) -> Iterator[str]:
    """Finished students that MLflow was not told of."""
    for study in records.studies.values():
        if study.absent:
            yield f"{counted(study.absent, 'finished student')} of {study.name} did not reach MLflow: {REMEDY}."


def odd(levels: Frame) -> Iterator[str]:
    """Levels of which one value is known."""
    single = levels.loc[levels["n"] == 1, "level"]
    if len(single) and levels["n"].max() > 1:
        yield f"{listed(list(dict.fromkeys(single)))} has a single value: no deviation is known."
