"""What a comparison found: levels, pairs, contrasts, the verdict, and what cannot be said."""

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import pandas as pd

from selkd.comparison import formats, leaderboard
from selkd.comparison.overall import Overall
from selkd.comparison.question import Plan, Question
from selkd.comparison.records import Records
from selkd.comparison.words import listed, visible

ALL = "all"
"""The group that holds all others, and the only one where nothing makes groups."""


@dataclass(frozen=True)
class Metric:
    """A metric with its parts: the name that is reported, and the one by which settings were chosen."""

    name: str  # as it was asked: "accuracy", "gain/accuracy", "cost/parameters"
    reported: str  # "test/accuracy", "gain/test/accuracy", "cost/parameters"
    chosen_by: str  # "validation/accuracy", "gain/validation/accuracy"
    maximise: bool  # whether more of what is reported is better
    choose_highest: bool  # whether more of what settings are chosen by is better
    share: bool  # between 0 and 1, so that differences are read in points of a hundred

    @property
    def unit(self) -> float:
        """What one is shown as."""
        return 100.0 if self.share else 1.0

    @property
    def bounds(self) -> tuple[float, float]:
        """Between which all its values lie, however few of them an interval is made from."""
        if not self.share:
            return -math.inf, math.inf
        return (-1.0, 1.0) if self.reported.startswith("gain/") else (0.0, 1.0)

    @property
    def words(self) -> str:
        """`test accuracy`, `gain in test accuracy over cross-entropy`, `parameters`."""
        part, _, rest = self.reported.removeprefix("gain/").partition("/")
        name, _, category = (rest or part).partition("/")
        words = name.replace("_", " ") + (f" of {visible(category)}" if category else "")
        named = words if part in ("cost", name) else f"{part} {words}"
        return f"gain in {named} over cross-entropy" if self.reported.startswith("gain/") else named


@dataclass(frozen=True)
class Pairing:
    """What the two sides of a pair share, and what was done with the other keys."""

    shared: tuple[str, ...]  # keys that vary and are equal within a pair, seeds and splits included
    groups: tuple[str, ...]  # those of them that make groups
    tuned: tuple[str, ...]  # keys that vary and were chosen on validation, for each level and group
    unit: str  # what counts as independent: "seed", "split" or "pair of subsets"
    clusters: str | None  # what pairs that are no luck of their own have in common; none where every pair stands alone

    @property
    def words(self) -> str:
        """The pairing in a sentence or two."""
        said = [f"A pair shares {listed(self.shared) or 'nothing that varies'}."]
        if self.tuned:
            said.append(f"Chosen on validation for each level: {listed(self.tuned)}.")
        if self.clusters:
            said.append(f"Pairs with the same {self.clusters} count as one unit.")
        return " ".join(said)


@dataclass(frozen=True)
class Contrast:
    """Two levels over their pairs. The difference is `level` less `against`, in the metric's own unit."""

    group: str
    level: str
    against: str
    pairs: int
    clusters: int  # as many as pairs where every pair stands alone
    difference: float  # the mean over pairs; NaN without pairs
    median: float
    low: float  # of the interval of the mean
    high: float
    p: float | None  # permutation of signs: what decides
    wilcoxon: float | None
    smallest: float | None  # p-value below which so many pairs cannot go
    adjusted: float | None  # p after Holm's correction over the family; none at a planned look
    wins: int  # pairs in which `level` is better
    ties: int
    losses: int
    dz: float | None  # standardised mean difference of pairs, corrected for small samples
    rank_biserial: float | None
    detectable: float | None  # the difference that so many pairs would tell with 80 % power
    more: int | None  # pairs that are wanting to tell the difference that matters
    better: str | None  # the better level, where that is told
    notes: tuple[str, ...]  # why a number is missing

    def judged(self, adjusted: float | None, better: str | None) -> "Contrast":
        """The same, with what the correction over the family leaves of it."""
        return replace(self, adjusted=adjusted, better=better)

    @property
    def marks(self) -> str:
        """Stars for the corrected p-value: 5 %, 1 %, 0.1 %; one at a planned look; none where nothing is told."""
        if self.better is None:
            return ""
        if self.adjusted is None:
            return "*"
        return "*" * (1 + sum(self.adjusted < limit for limit in (0.01, 0.001)))


@dataclass(frozen=True)
class Comparison:
    """The answer to a question, with everything that a table, a figure or a report shows.

    levels: a row a (group, level): n, mean, median, low, high, deviation, validation, optimism, setting, settings,
    budget, seconds, unequal (whether it spends more than others), mark (stars, against the baseline or the best) and
    rank.
    units: a row a pair, by group, cell (the group and its subset), split and seed; a column a level, with the reported
    metric.
    trials: a row a run that was looked at, by run: study, key, level, group, cell, split, seed, subset, setting, value,
    validation, chosen (whether its setting was).
    left_out: study, key, run, reason.
    """

    question: Question
    metric: Metric
    pairing: Pairing
    plan: Plan | None
    look: int | None  # which of the plan's looks this is, from 1; none between looks and without a plan
    records: Records
    levels: pd.DataFrame
    units: pd.DataFrame
    trials: pd.DataFrame
    contrasts: list[Contrast]
    family: str  # over which contrasts p-values were corrected
    overall: Overall | None
    verdict: str
    exploratory: bool
    caveats: list[str]
    left_out: pd.DataFrame

    def leaderboard(self) -> pd.DataFrame:
        """A row a group and level, the best first."""
        return leaderboard.frame(self)

    def contrasts_table(self) -> pd.DataFrame:
        """A row a contrast."""
        rows = [vars(one) | {"marks": one.marks} for one in self.contrasts]
        return pd.DataFrame(rows, columns=[*(field.name for field in fields(Contrast)), "marks"])

    def to_csv(self) -> str:
        """The leaderboard for other programs: numbers in full."""
        return formats.csv(self.leaderboard())

    def to_markdown(self) -> str:
        """The leaderboard for a page: the best in bold, mean ± deviation, stars."""
        return formats.markdown(self)

    def to_latex(self) -> str:
        """The leaderboard for a paper (booktabs): the best in bold, mean ± deviation, stars."""
        return formats.latex(self)

    def as_json(self) -> dict[str, Any]:
        """Everything but the trials, for machines."""
        return formats.as_json(self)
