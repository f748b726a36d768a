"""The pairs themselves: the reported metric of each level, and which pairs are no luck of their own."""

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd

from selkd.comparison.result import ALL, Metric
from selkd.comparison.tables import Frame
from selkd.comparison.values import GAIN
from selkd.errors import UserError

UNIT = ["group", "cell", "split", "seed"]
"""The columns that name a pair."""
CATEGORY_POLICY = "selection.categories."
ENOUGH_SPLITS = 6
"""Splits from which on they, not the pairs, count as independent: fewer could never reach 5 %."""


class Pairs:
    """A row a pair: values and subsets by level, and what makes pairs depend on one another (`kind`).

    subsets: pairs of the same two subsets are one piece of luck, as where policies choose categories.
    split: all pairs of a split are one. seed: what several groups share of a seed, on one source, is one.
    """

    def __init__(self, trials: Frame, order: Sequence[str], by: str) -> None:
        chosen = trials[trials["chosen"]]
        table, subsets = (
            chosen.pivot(index=UNIT, columns="level", values=name).reindex(columns=list(order))
            for name in ("value", "subset")
        )
        known = table.notna().any(axis=1)
        self.table: Frame = table[known]
        self.subsets: Frame = subsets[known].where(self.table.notna())
        index = self.table.index.to_frame(index=False)
        source = index["cell"].map(trials.drop_duplicates("cell").set_index("cell")["source"])
        self.seeds = index["seed"].to_numpy()
        self.differ = _differ(self.subsets)
        self.kind = _kind(index, self.differ, by)
        shared = {"split": [source, index["split"]], "seed": [source, index["split"], index["seed"]]}
        self._names: list[Hashable] = (
            list(zip(*shared[self.kind], strict=True)) if self.kind in shared else [*index.index]
        )
        self._values = {level: self.table[level].to_numpy(dtype=float) for level in order}
        self._subsets = {level: self.subsets[level].to_numpy() for level in order}
        self._rows = {ALL: np.arange(len(index))} | {g: np.array(r) for g, r in index.groupby("group").groups.items()}

    def rows(self, levels: Sequence[str], group: str = ALL) -> np.ndarray:
        """The pairs of a group in which all these levels have a value."""
        rows = self._rows.get(group, np.arange(0))
        known = [np.isfinite(self._values[level][rows]) for level in levels]
        return rows[np.logical_and.reduce(known)]

    def values(self, level: str, rows: np.ndarray) -> np.ndarray:
        """What a level has in these pairs."""
        return self._values[level][rows]

    def clusters(self, levels: Sequence[str], rows: np.ndarray) -> list[Hashable]:
        """Of each pair the cluster it is in, when these levels are compared."""
        if self.kind == "subsets":
            return list(zip(*(self._subsets[level][rows] for level in levels), strict=True))
        return [self._names[row] for row in rows]

    def clusters_of(self, trials: Frame) -> dict[object, Hashable]:
        """Of each run the cluster that its level's interval is resampled by."""
        place = {unit: row for row, unit in enumerate(self.table.index)}
        found: dict[object, Hashable] = {}
        for run, level, *unit in trials[["level", *UNIT]].itertuples():
            row = place.get(tuple(unit))
            if row is not None:
                found[run] = self._subsets[level][row] if self.kind == "subsets" else self._names[row]
        return found


def refuse_raw(metric: Metric, by: str, pairs: Pairs) -> None:
    """Different subsets are not compared by a raw score: whoever has the easy categories would win."""
    if metric.reported.startswith((GAIN, "cost/")) or not pairs.differ:
        return
    raise UserError(
        f"metric: {metric.name!r} cannot be compared by {by}: the students know different categories, and easy ones "
        f"would win. Ask for {GAIN}{metric.name}, which is measured against the cross-entropy student of the same "
        "categories, rows and seed; a study records such twins when one of its metrics is a gain."
    )


def _differ(subsets: Frame) -> bool:
    """Whether any pair compares students of different subsets."""
    codes = pd.factorize(subsets.to_numpy().ravel())[0].reshape(subsets.shape)
    known = codes >= 0
    highest, lowest = (
        codes.max(axis=1, initial=-1),
        np.where(known, codes, codes.max(initial=-1)).min(axis=1, initial=0),
    )
    return bool(((highest > lowest) & (known.sum(axis=1) > 1)).any())


def _kind(index: Frame, subsets_differ: bool, by: str) -> str | None:
    if by.startswith(CATEGORY_POLICY) and subsets_differ:
        return "subsets"
    splits, pairs = index["split"].nunique(), len(index.drop_duplicates(["split", "seed"]))
    if splits >= ENOUGH_SPLITS and pairs > splits:
        return "split"
    return "seed" if index["cell"].nunique() > 1 else None
