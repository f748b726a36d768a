"""What a pair shares, which keys make groups, and which were tuned: every key that varies falls in one heap."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from selkd.comparison.factors import SEED, SOURCE, SPLIT, STUDY, SUBSET
from selkd.comparison.result import ALL, Pairing
from selkd.comparison.tables import Column, Frame
from selkd.comparison.words import ABSENT, listed, settings

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


def heaps(labels: Frame, levels: Column, by: Sequence[str], within: Sequence[str]) -> Heaps:
    """Sort the keys that vary. One that a level does not have at all cannot be shared: it is that level's setting.

    Studies that are compared with each other may differ in anything: what is constant in each goes with it.
    """
    unit: list[str] = []
    group: list[str] = []
    tuned: list[str] = []
    bound: list[str] = []
    for key in labels:
        if key in (*by, STUDY) and key not in within:
            continue
        everywhere = bool((labels[key] != ABSENT).groupby(levels).any().all())
        goes_along = STUDY in by and labels[key].groupby(levels).nunique().max() == 1
        if key in (SEED, SPLIT) or (key == SUBSET and key not in within and not goes_along):
            unit.append(key)
        elif key in within:
            group.insert(0, key)
        elif key.startswith(SHARED) and everywhere and not goes_along:
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
