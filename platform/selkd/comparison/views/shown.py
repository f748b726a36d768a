"""What a figure has room for: which groups, levels and students are drawn, and in which words values are given."""

from collections.abc import Sequence

import pandas as pd

from selkd.comparison.result import ALL, Comparison
from selkd.comparison.words import counted

MOST_GROUPS, MOST_LINES, MOST_READ = 4, 7, 10
"""Groups that are drawn, levels drawn as lines, and students of a level and group whose files are read."""


def groups(comparison: Comparison) -> list[str]:
    """The groups in the order of the table."""
    return list(dict.fromkeys(comparison.levels["group"]))


def levels(comparison: Comparison) -> list[str]:
    """The levels, those with the best mean rank over groups first; a baseline keeps its place."""
    ranks = comparison.levels.groupby("level", sort=False)["rank"].mean()
    return list(ranks.sort_values(kind="stable").index)


def lines(comparison: Comparison) -> list[str]:
    """Levels that are told apart as lines: the best ones, and the baseline."""
    found, baseline = levels(comparison), comparison.question.baseline
    kept = found[:MOST_LINES]
    if baseline in found and baseline not in kept:
        kept[-1] = baseline
    return kept


def chosen(comparison: Comparison) -> pd.DataFrame:
    """The students whose values are reported, by run."""
    trials = comparison.trials
    return trials[trials["chosen"].astype(bool) & trials["value"].notna()]


def read(comparison: Comparison, only: Sequence[str] | None = None, most: int = MOST_READ) -> pd.DataFrame:
    """The students whose files are read: of each group and level (all, or those named) the first by split and seed."""
    mine = chosen(comparison)
    if only is not None:
        mine = mine[mine["level"].isin(only)]
    mine = mine[mine["group"].isin(groups(comparison)[:MOST_GROUPS])]
    ordered = mine.sort_values(["cell", "split", "seed"], key=_by_size, kind="stable")
    return ordered.groupby(["group", "level"], sort=False).head(most)


def values(comparison: Comparison) -> str:
    """What an axis of the metric is called, with its unit."""
    words = comparison.metric.words
    if not comparison.metric.share:
        return words
    return f"{words} (points)" if comparison.metric.reported.startswith("gain/") else f"{words} (%)"


def differences(comparison: Comparison, than: str) -> str:
    """What an axis of differences is called."""
    unit = " (points)" if comparison.metric.share else ""
    return f"difference in {comparison.metric.words} from {than}{unit}"


def title(group: str) -> str | None:
    """A panel's title; a group that holds everything needs none."""
    return None if group == ALL else group


def left(kinds: str, drawn: int, there: int) -> str:
    """A sentence on what was left out of a figure; nothing where all is drawn."""
    if there <= drawn:
        return ""
    return f" {drawn} of {counted(there, kinds)} are drawn; the numbers have all."


def _by_size(column: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    return column.astype(str) if numbers.isna().any() else numbers
