"""Every level with its mean, the interval of the mean, and each student as a dot."""

from collections.abc import Iterator

import pandas as pd
from matplotlib.lines import Line2D

from selkd.comparison import style
from selkd.comparison.result import Comparison
from selkd.comparison.views import shown
from selkd.comparison.views.view import CannotShow, Drawn, View

STATED = ["n", "mean", "low", "high", "mark"]


def numbers(comparison: Comparison) -> pd.DataFrame:
    """A row a student: group, level, split, seed, value; and of its level n, mean, low, high and mark."""
    students = shown.chosen(comparison)[["group", "level", "split", "seed", "value"]]
    if students.empty:
        raise CannotShow(f"no finished student has {comparison.metric.words}.")
    told = comparison.levels[["group", "level", *STATED]]
    return told.merge(students, on=["group", "level"]).loc[:, ["group", "level", "split", "seed", "value", *STATED]]


def draw(comparison: Comparison, numbers: pd.DataFrame) -> Drawn:
    """A panel a group, a line a level, the best at the top."""
    unit, order = comparison.metric.unit, shown.levels(comparison)
    groups, looks = shown.groups(comparison)[: shown.MOST_GROUPS], style.looks(order)
    figure, panels = style.by_group(len(groups), 0.9 + 0.28 * len(order), sharey=True)
    for axes, group in zip(panels, groups, strict=True):
        for level, mine in shown.parts(shown.where(numbers, group=group), "level"):
            place, look, told = order.index(level), looks[level], next(shown.rows(mine))
            heights = place + 0.22 + style.spread(len(mine), 0.16)
            axes.plot(unit * mine["value"], heights, ".", color=look.colour, alpha=0.55, markersize=4)
            axes.plot([unit * told.low, unit * told.high], [place, place], color=look.colour, linewidth=2)
            axes.plot(unit * told.mean, place, look.marker, color=look.colour, markeredgecolor="black", markersize=6)
            axes.annotate(
                told.mark, (1, place), xycoords=("axes fraction", "data"), fontsize=style.NORMAL, va="center"
            )  # fmt: skip
        axes.set_yticks(range(len(order)), [style.name(level) for level in order])
        style.label(axes, x=shown.values(comparison), title=shown.title(group))
        style.say_cut(axes, "x")
    panels[0].set_ylim(len(order) - 0.4, -0.6)
    key = [
        Line2D([], [], marker="o", color=style.GREY, markeredgecolor="black", linewidth=2),
        Line2D([], [], marker=".", color=style.GREY, linestyle=""),
    ]
    around = f"mean with its {100 * (1 - comparison.question.alpha):g} % interval"
    style.legend(figure, key, [around, "one student"], columns=2)
    return Drawn(style.finished(figure), _alt(comparison, groups))


def _alt(comparison: Comparison, groups: list[str]) -> str:
    def told(group: str) -> Iterator[str]:
        for row in shown.rows(shown.where(comparison.levels, group=group)):
            low, high = shown.amount(comparison, row.low), shown.amount(comparison, row.high)
            mean = shown.amount(comparison, row.mean)
            yield f"{shown.called(row.level)} {mean} ({low} to {high}; n = {row.n}){row.mark}"

    return (
        f"{shown.values(comparison)}: mean of each level, its interval, and each student as a dot. "
        f"{shown.spoken(groups, told)}{shown.left('group', len(groups), len(shown.groups(comparison)))}"
    )


LEVELS = View("levels", "Levels, with every student", "one finished student", numbers, draw)
