"""What a pair shares, which keys make groups, and which were tuned: every key that varies falls in one heap."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from selkd.comparison.factors import SEED, SOURCE, SPLIT, STUDY, SUBSET
from selkd.comparison.result import ALL, Metric, Pairing
from selkd.comparison.tables import Column, Frame
from selkd.comparison.values import GAIN
from selkd.comparison.words import ABSENT, listed, settings
from selkd.errors import UserError

SHARED = (
    "data.",
    "task.",
    "student.",
    "teacher",
    "training.epochs",
    "training.steps",
    "training.batch_size",
    "selection.samples.keep",
    "selection.categories.size",
)
"""Keys that both sides of a pair have in common, where the question is not about them."""
CATEGORY_POLICY = "selection.categories."
ENOUGH_SPLITS = 6
"""Splits from which on they, not the pairs, count as independent: fewer could never reach 5 %."""


@dataclass(frozen=True)
class Heaps:
    """The keys that vary besides the factor."""

    unit: tuple[str, ...]  # equal within a pair, and averaged over: seeds, splits, subsets
    group: tuple[str, ...]  # equal within a pair, and reported apart
    tuned: tuple[str, ...]  # chosen on validation
    bound: tuple[str, ...]  # have one value for each level, and go wherever the level goes

    @property
    def cell(self) -> tuple[str, ...]:
        """What settings are chosen within: all that a pair shares but seeds and splits."""
        return (*self.group, *(key for key in self.unit if key not in (SEED, SPLIT)))


def heaps(labels: Frame, levels: Column, by: str, within: Sequence[str]) -> Heaps:
    """Sort the keys that vary. One that a level does not have at all cannot be shared: it is that level's setting."""
    unit: list[str] = []
    group: list[str] = []
    tuned: list[str] = []
    bound: list[str] = []
    for key in labels:
        if key in (by, STUDY) and key not in within:
            continue
        everywhere = bool((labels[key] != ABSENT).groupby(levels).any().all())
        if key in (SEED, SPLIT) or (key == SUBSET and key not in within):
            unit.append(key)
        elif key in within:
            group.insert(0, key)
        elif key.startswith(SHARED) and everywhere:
            group.append(key)
        else:
            values = labels.loc[labels[key] != ABSENT, key]
            many = values.groupby(levels.loc[values.index]).nunique().max() > 1
            (tuned if many else bound).append(key)
    return Heaps(tuple(unit), tuple(group), tuple(tuned), tuple(bound))


def placed(labels: Frame, found: Heaps) -> Frame:
    """Of every run its group, cell, setting, seed and split, in words."""

    def joined(keys: Sequence[str], nothing: str) -> list[str]:
        without = f"no {listed(keys)}" if keys and nothing else nothing
        return [settings(zip(keys, row, strict=True)) or without for row in labels[list(keys)].to_numpy()]

    def own(key: str) -> Any:
        return labels.get(key, "")

    return pd.DataFrame(
        {
            "group": joined(_distinguishing(labels, found.group), ALL),
            "cell": joined(found.cell, ALL),
            "setting": joined(found.tuned, ""),
            "split": own(SPLIT),
            "seed": own(SEED),
            "source": own(SOURCE),
        },
        index=labels.index,
    )


def _distinguishing(labels: Frame, keys: Sequence[str]) -> list[str]:
    """The keys that tell groups apart; one that follows from the others is not needed for that."""
    kept = list(keys)
    for key in reversed(keys):
        rest = [other for other in kept if other != key]
        if rest and len(labels[rest].drop_duplicates()) == len(labels[kept].drop_duplicates()):
            kept = rest
    return kept


UNIT = ["group", "cell", "split", "seed"]
"""The columns that name a pair."""


def units(trials: Frame, order: Sequence[str]) -> tuple[Frame, Frame]:
    """The reported metric, a row a pair and a column a level; and the subsets behind it."""
    chosen = trials[trials["chosen"]]
    values = chosen.pivot(index=UNIT, columns="level", values="value").reindex(columns=list(order))
    subsets = chosen.pivot(index=UNIT, columns="level", values="subset").reindex(columns=list(order))
    return values, subsets.where(values.notna())


def subsets_differ(subsets: Frame) -> bool:
    """Whether any pair compares students of different subsets."""
    return bool((subsets.nunique(axis=1) > 1).any())


def refuse_raw(metric: Metric, by: str, subsets: Frame) -> None:
    """Different subsets are not compared by a raw score: whoever has the easy categories would win."""
    if metric.reported.startswith((GAIN, "cost/")) or not subsets_differ(subsets):
        return
    raise UserError(
        f"metric: {metric.name!r} cannot be compared by {by}: the students know different categories, and easy ones "
        f"would win. Ask for {GAIN}{metric.name}, which is measured against the cross-entropy student of the same "
        "categories, rows and seed; a study records such twins when one of its metrics is a gain."
    )


def clustering(subsets: Frame, by: str) -> str | None:
    """What makes pairs depend on one another: pairs of subsets, splits, or seeds that several groups share."""
    if by.startswith(CATEGORY_POLICY) and subsets_differ(subsets):
        return "subsets"
    index = subsets.index.to_frame(index=False)
    splits, pairs = index["split"].nunique(), len(index.drop_duplicates(["split", "seed"]))
    if splits >= ENOUGH_SPLITS and pairs > splits:
        return "split"
    return "seed" if index["cell"].nunique() > 1 else None


def cluster_names(kind: str | None, subsets: Frame, sources: Column, levels: Sequence[str]) -> Column:
    """Of each pair the cluster it is in, when these levels are compared."""
    index = subsets.index.to_frame()
    source = index["cell"].map(sources)
    match kind:
        case "subsets":
            names = list(map(tuple, subsets[list(levels)].astype(str).values.tolist()))
        case "split":
            names = list(zip(source, index["split"], strict=True))
        case "seed":
            names = list(zip(source, index["split"], index["seed"], strict=True))
        case _:
            names = list(range(len(index)))
    return pd.Series(names, index=subsets.index, dtype=object)


def described(found: Heaps, kind: str | None) -> Pairing:
    """The pairing, for people."""
    unit, clusters = {
        "subsets": ("pair of subsets", "two subsets"),
        "split": ("split", "split"),
        "seed": ("seed", "split and seed"),
        None: ("seed" if SEED in found.unit or SPLIT not in found.unit else "split", None),
    }[kind]
    return Pairing((*found.group, *found.unit), found.group, found.tuned, unit, clusters)


def never_shared(labels: Frame, levels: Column, keys: Sequence[str]) -> list[str]:
    """Keys of which no two levels have a value in common: why nothing pairs."""
    found = []
    for key in keys:
        owners = levels.groupby(labels[key]).nunique()
        if (owners <= 1).all():
            found.append(key)
    return found
