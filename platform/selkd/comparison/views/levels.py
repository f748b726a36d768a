"""Every level with its mean, the interval of the mean, and each student as a dot."""

import pandas as pd
from matplotlib.lines import Line2D

from selkd.comparison import style
from selkd.comparison.result import Comparison
from selkd.comparison.views import shown
from selkd.comparison.views.view import CannotShow, Drawn, View
from selkd.comparison.words import number

STATED = ["n", "mean", "low", "high", "mark"]


def numbers(comparison: Comparison) -> pd.DataFrame:
    """A row a student: group, level, split, seed, value; and of its level n, mean, low, high and mark."""
    students = shown.chosen(comparison)[["group", "level", "split", "seed", "value"]]
    if students.empty:
        raise CannotShow(f"no finished student has {comparison.metric.words}.")
    told = comparison.levels[["group", "level", *STATED]]
    return told.merge(students, on=["group", "level"], how="left")[
        ["group", "level", "split", "seed", "value", *STATED]
    ].reset_index(drop=True)


def draw(comparison: Comparison, numbers: pd.DataFrame) -> Drawn:
    """A panel a group, a line a level, the best at the top."""
    unit, order = comparison.metric.unit, shown.levels(comparison)
    groups, all_groups = shown.groups(comparison)[: shown.MOST_GROUPS], shown.groups(comparison)
    looks = style.looks(order)
    columns = min(2, len(groups))
    rows = -(-len(groups) // columns)
    width = style.COLUMN if columns == 1 else style.PAGE
    figure = style.figure(width, rows * (0.9 + 0.28 * len(order)) + 0.4)
    grid = style.panels(figure, rows, columns, sharey=True)
    panels = [axes for row in grid for axes in row]
    for axes in panels[len(groups) :]:
        axes.set_visible(False)
    for axes, group in zip(panels, groups, strict=False):
        for place, level in enumerate(order):
            mine = numbers[(numbers["group"] == group) & (numbers["level"] == level)]
            if mine.empty:
                continue
            look, told = looks[level], mine.iloc[0]
            heights = place + 0.22 + style.spread(len(mine), 0.16)
            axes.plot(unit * mine["value"], heights, ".", color=look.colour, alpha=0.55, markersize=4, linestyle="")
            axes.plot([unit * told["low"], unit * told["high"]], [place, place], color=look.colour, linewidth=2)
            axes.plot(unit * told["mean"], place, look.marker, color=look.colour, markeredgecolor="black", markersize=6)
            if told["mark"]:
                axes.annotate(
                    told["mark"], (1, place), xycoords=("axes fraction", "data"), fontsize=style.NORMAL, va="center",
                    ha="left",
                )  # fmt: skip
        axes.set_yticks(range(len(order)), [style.name(level) for level in order])
        style.label(axes, x=shown.values(comparison), title=shown.title(group))
        style.say_cut(axes, "x")
    panels[0].set_ylim(len(order) - 0.4, -0.6)
    key = [
        Line2D([], [], marker="o", color=style.GREY, markeredgecolor="black", linewidth=2),
        Line2D([], [], marker=".", color=style.GREY, linestyle=""),
    ]
    confidence = f"mean with its {100 * (1 - comparison.question.alpha):g} % interval"
    style.legend(figure, key, [confidence, "one student"], columns=2)
    return Drawn(style.finished(figure), _alt(comparison, groups, len(all_groups)))


def _alt(comparison: Comparison, groups: list[str], there: int) -> str:
    unit, digits = comparison.metric.unit, 1 if comparison.metric.share else 3
    parts = []
    for group in groups:
        mine = comparison.levels[comparison.levels["group"] == group]
        told = [
            f"{row.level} {number(unit * row.mean, digits)} ({number(unit * row.low, digits)} to "
            f"{number(unit * row.high, digits)}; {row.n} students){row.mark}"
            for row in mine.head(8).itertuples()
        ]
        parts.append(f"{shown.title(group) + ': ' if shown.title(group) else ''}{'; '.join(told)}")
    return (
        f"Mean {shown.values(comparison)} of each level with its interval, and each student as a dot. "
        f"{'. '.join(parts)}.{shown.left('group', len(groups), there)}"
    )


LEVELS = View("levels", "Levels, with every student", "one finished student", numbers, draw)
