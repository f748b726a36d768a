"""What a figure has room for: which groups, levels and students are drawn, and in which words values are given."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from selkd.comparison import style
from selkd.comparison.result import ALL, Comparison
from selkd.comparison.words import counted, number, tenths, visible

MOST_GROUPS, MOST_LINES, MOST_READ = 4, 7, 10
"""Groups that are drawn, levels drawn as lines, and students of a level and group whose files are read."""
SPOKEN, SPOKEN_EACH, LONGEST = 8, 3, 60
"""Levels that the words for a figure name, of a single group and of each of several; characters of a name."""


def groups(comparison: Comparison) -> list[str]:
    """The groups in the order of the table."""
    return list(dict.fromkeys(comparison.levels["group"]))


def levels(comparison: Comparison) -> list[str]:
    """The levels, those with the best mean rank over groups first."""
    ranks = {level: float(np.mean(mine["rank"])) for level, mine in parts(comparison.levels, "level")}
    return sorted(ranks, key=lambda level: ranks[level])


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
    return in_groups(comparison, trials.loc[trials["chosen"].astype(bool) & trials["value"].notna()])


def in_groups(comparison: Comparison, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows in the order of the table's groups, as they were within each; groups without a value come last."""
    place = {group: k for k, group in enumerate(groups(comparison))}
    return frame.sort_values("group", key=lambda names: names.map(place), kind="stable")


def read(comparison: Comparison, only: Sequence[str], most: int = MOST_READ) -> pd.DataFrame:
    """The students whose files are read: of each drawn group and of these levels the first by split and seed."""
    mine = chosen(comparison)
    mine = mine.loc[mine["level"].isin(only) & mine["group"].isin(groups(comparison)[:MOST_GROUPS])]
    ordered = mine.sort_values(["cell", "split", "seed"], key=_by_size, kind="stable")
    first = ordered.groupby(["group", "level"], sort=False).head(most)
    for column, order in (("level", levels(comparison)), ("group", groups(comparison))):
        first = first.sort_values(column, key=lambda names, order=order: names.map(order.index), kind="stable")
    return first


def one_each(comparison: Comparison, most: int) -> dict[str, str]:
    """Of each of so many levels one run of the first group: of the first split and seed that all of them share."""
    order, baseline = levels(comparison), comparison.question.baseline
    kept = order[:most]
    if baseline in order and baseline not in kept:
        kept[-1] = baseline
    mine = read(comparison, kept)
    mine = mine.loc[mine["group"] == groups(comparison)[0]]
    full = mine.groupby(["split", "seed"], sort=False)["level"].transform("nunique") == len(set(mine["level"]))
    first = pd.concat([mine[full], mine]).drop_duplicates("level")
    return {str(row.level): str(row.Index) for row in rows(first)}


def where(frame: pd.DataFrame, **equal: Any) -> pd.DataFrame:
    """The rows whose columns have these values."""
    return frame.loc[np.logical_and.reduce([frame[name] == value for name, value in equal.items()])]


def rows(frame: pd.DataFrame) -> Iterator[Any]:
    """Rows with columns as attributes."""
    return iter(frame.itertuples())


def by_mean(frame: pd.DataFrame, name: str, value: str) -> list[str]:
    """The names, those with the highest mean first."""
    means = {one: float(np.nanmean(mine[value])) for one, mine in parts(frame, name)}
    return sorted(means, key=lambda one: -means[one])


def parts(frame: pd.DataFrame, by: str | list[str]) -> Iterator[tuple[Any, pd.DataFrame]]:
    """The parts of a frame in the order in which their names come up."""
    return iter(frame.groupby(by, sort=False))


def values(comparison: Comparison) -> str:
    """What an axis of the metric is called, with its unit."""
    if not comparison.metric.share:
        return comparison.metric.words
    unit = "points" if comparison.metric.reported.startswith("gain/") else "%"
    return f"{comparison.metric.words} ({unit})"


def differences(comparison: Comparison, than: str) -> str:
    """What an axis of differences is called."""
    return f"{comparison.metric.words}: difference from {than}" + (" (points)" if comparison.metric.share else "")


def amount(comparison: Comparison, value: float) -> str:
    """A value of the metric as it is shown."""
    return tenths(comparison.metric.unit * value) if comparison.metric.share else number(value)


def title(group: str) -> str | None:
    """A panel's title; a group that holds everything needs none."""
    return None if group == ALL else style.name(group, 44)


def spoken(groups: Sequence[str], told: Callable[[str], Iterable[str]]) -> str:
    """What is told of each group, one after the other; of many things the first few."""
    most = SPOKEN if len(groups) == 1 else SPOKEN_EACH
    said = []
    for group in groups:
        parts = list(told(group))
        more = [f"{len(parts) - most} more"] if len(parts) > most else []
        said.append(("" if group == ALL else f"{called(group)}: ") + "; ".join(parts[:most] + more) + ".")
    return " ".join(said)


def called(name: str) -> str:
    """A name in a sentence: nothing in it acts unseen, and the middle of a long one is left out."""
    name = visible(name)
    return name if len(name) <= LONGEST else f"{name[: LONGEST // 2]}…{name[-LONGEST // 2 + 1 :]}"


def left(kind: str, drawn: int, there: int) -> str:
    """A sentence on what was left out of a figure; nothing where all is drawn."""
    return f" {drawn} of {counted(there, kind)} are drawn." if there > drawn else ""


def _by_size(column: pd.Series) -> pd.Series:
    """Numbers by size, where all are numbers."""
    numbers = pd.Series(pd.to_numeric(column, errors="coerce"), index=column.index, dtype=float)
    return column.astype(str) if bool(np.isnan(numbers.to_numpy()).any()) else numbers
