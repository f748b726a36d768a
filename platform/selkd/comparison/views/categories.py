"""Which categories gain: the accuracy of each over a baseline, or over the cross-entropy twins, with intervals."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from selkd.comparison import style
from selkd.comparison.result import Comparison
from selkd.comparison.statistics import interval
from selkd.comparison.values import GAIN, twins_of
from selkd.comparison.views import shown
from selkd.comparison.views.view import CannotShow, Drawn, View
from selkd.comparison.words import tenths

ACCURACY = "test/accuracy/"
TWINS = "cross-entropy twins"
FIELDS = ["group", "level", "category", "over", "n", "difference", "low", "high"]
RESAMPLES = 2000
MOST_CATEGORIES = 24
ROW = 0.4
"""How much of the room between two categories their levels take."""
UNIT = ["group", "cell", "split", "seed"]


def numbers(comparison: Comparison) -> pd.DataFrame:
    """A row a group, level and category: mean difference of its accuracy, interval, and pairs."""
    columns = [name for name in comparison.records.metrics if str(name).startswith(ACCURACY)]
    if not columns:
        raise CannotShow("no student recorded the accuracy of single categories.")
    over, gaps = _gaps(comparison, columns)
    rows, confidence = [], 1 - comparison.question.alpha
    for (group, level), mine in shown.parts(gaps, ["group", "level"]):
        for column in columns:
            known = mine.loc[mine[column].notna()]
            if known.empty:
                continue
            values = np.asarray(known[column], dtype=float)
            around = interval(values, _clusters(comparison, known), level=confidence, resamples=RESAMPLES)
            category = str(column).removeprefix(ACCURACY)
            low, high = max(around.low, -1.0), min(around.high, 1.0)  # no accuracies differ by more
            rows.append((group, level, category, over, len(known), known[column].mean(), low, high))
    if not rows:
        raise CannotShow(f"no level shares a pair with {over}.")
    return pd.DataFrame(rows, columns=FIELDS)


def draw(comparison: Comparison, numbers: pd.DataFrame) -> Drawn:
    """A panel a group; categories from the one that gains most, on the mean of the levels, to the one that loses."""
    over = numbers["over"].iloc[0]
    groups = list(dict.fromkeys(numbers["group"]))[: shown.MOST_GROUPS]
    levels = [level for level in shown.lines(comparison) if level in set(numbers["level"])]
    looks = style.looks(shown.levels(comparison))
    mine = numbers.loc[numbers["level"].isin(levels) & numbers["group"].isin(groups)]
    order = shown.by_mean(mine, "category", "difference")
    there, half = len(order), MOST_CATEGORIES // 2
    order = order if there <= MOST_CATEGORIES else order[:half] + order[-half:]
    figure, panels = style.by_group(len(groups), 0.8 + len(order) * max(0.2, 0.1 * len(levels)), sharey=True)
    for axes, group in zip(panels, groups, strict=True):
        axes.axvline(0, color="black", linewidth=1)
        here = shown.where(mine.loc[mine["category"].isin(order)], group=group)
        there_too = [level for level in levels if level in set(here["level"])]
        offsets = dict(zip(there_too, style.spread(len(there_too), ROW), strict=True))
        for row in shown.rows(here):
            look, place = looks[row.level], order.index(row.category) + offsets[row.level]
            axes.plot([100 * row.low, 100 * row.high], [place, place], color=look.colour, linewidth=1.2)
            axes.plot(100 * row.difference, place, look.marker, color=look.colour, markersize=4.5)
        axes.set_yticks(range(len(order)), [style.name(category) for category in order])
        style.label(axes, x=f"test accuracy: difference from {style.name(over)} (points)", title=shown.title(group))
    panels[0].set_ylim(len(order) - 0.5, -0.5)
    key = [Line2D([], [], marker=looks[one].marker, color=looks[one].colour, markersize=4.5) for one in levels]
    style.legend(figure, key, levels)
    return Drawn(style.finished(figure), _alt(mine, groups, over, shown.left("category", len(order), there)))


def _gaps(comparison: Comparison, columns: list[str]) -> tuple[str, pd.DataFrame]:
    """What is subtracted, and a row a pair with the difference of each category."""
    metrics, students = comparison.records.metrics, shown.chosen(comparison)
    if comparison.metric.reported.startswith(GAIN):
        twins = twins_of(comparison.records).loc[students.index].dropna()
        theirs = metrics.loc[twins, columns].set_axis(twins.index)
        return TWINS, pd.concat([students.loc[twins.index], metrics.loc[twins.index, columns] - theirs], axis=1)
    reference = comparison.question.baseline or shown.levels(comparison)[0]
    joined = pd.concat([students, metrics.loc[students.index, columns]], axis=1)
    base = shown.where(joined, level=reference).set_index(UNIT)[columns]
    rest = joined.loc[joined["level"] != reference]
    places = pd.MultiIndex.from_frame(rest[UNIT])
    return reference, rest.assign(**(rest[columns] - base.reindex(places).set_axis(rest.index)).to_dict("series"))


def _clusters(comparison: Comparison, pairs: pd.DataFrame) -> list[tuple[str, ...]]:
    """What pairs have in common that are no luck of their own, as in the comparison itself."""
    kinds = {"split": ["split"], "two subsets": ["subset"]}
    return list(
        pairs[kinds.get(comparison.pairing.clusters or "", ["split", "seed"])].itertuples(index=False, name=None)
    )


def _alt(numbers: pd.DataFrame, groups: list[str], over: str, left: str) -> str:
    def told(group: str) -> Iterator[str]:
        mine = shown.where(numbers, group=group).sort_values("difference", ascending=False, kind="stable")
        ends = [mine.iloc[0], mine.iloc[-1]] if len(mine) > 1 else [mine.iloc[0]]
        for kind, row in zip(("most", "least"), ends, strict=False):
            difference, low, high = (tenths(100 * row[name]) for name in ("difference", "low", "high"))
            where = f"{shown.called(row['category'])} under {shown.called(row['level'])}"
            yield f"{kind} {where}, {difference} ({'no interval' if low == '-' else f'{low} to {high}'})"

    words = f"Difference in test accuracy of each category from {shown.called(over)}, in points."
    return f"{words} {shown.spoken(groups, told)}{left}"


CATEGORIES = View(
    "categories", "Gains by category", "a level to compare with, or cross-entropy twins", numbers, draw
)  # fmt: skip
