"""How students learn: medians over students with bands from the lower to the upper quartile, epoch by epoch."""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from selkd.comparison import style
from selkd.comparison.result import Comparison
from selkd.comparison.views import shown
from selkd.comparison.views.view import CannotShow, Drawn, View
from selkd.tracking.figures import NOT_LOSSES

BAND = "line: median over students; band: the middle half of them"
FIELDS = ["group", "level", "name", "step", "n", "median", "low", "high"]
MOST_ROWS = 3


def metric_numbers(comparison: Comparison) -> pd.DataFrame:
    """The validation metric: a row a group, level and epoch with n, median and quartiles."""
    plain = comparison.metric.reported.removeprefix("gain/")
    name = f"validation/{plain.removeprefix('test/')}" if plain.startswith("test/") else comparison.metric.chosen_by
    found = _numbers(comparison, lambda columns: [one for one in columns if one == name.removeprefix("gain/")])
    if found.empty:
        raise CannotShow(f"no shown student recorded {name} epoch by epoch.")
    return found


def loss_numbers(comparison: Comparison) -> pd.DataFrame:
    """Every term of the loss, as `metric_numbers`."""
    found = _numbers(comparison, lambda columns: [one for one in columns if _is_loss(one)])
    if found.empty:
        raise CannotShow("no shown student recorded its losses epoch by epoch.")
    return found


def draw_metric(comparison: Comparison, numbers: pd.DataFrame) -> Drawn:
    """A panel a group, a line a level."""
    groups = list(dict.fromkeys(numbers["group"]))
    figure, panels = style.by_group(len(groups), 2.3, sharey=True)
    looks = style.looks(shown.levels(comparison))
    unit = comparison.metric.unit
    words = numbers["name"].iloc[0].replace("/", " ").replace("_", " ") + (" (%)" if comparison.metric.share else "")
    for axes, group in zip(panels, groups, strict=True):
        _lines(axes, shown.where(numbers, group=group), looks, unit)
        style.label(axes, x="epoch", title=shown.title(group))
    for axes in style.first_column(panels):
        style.label(axes, y=words)
        style.say_cut(axes, "y")
    _legend(figure, looks, numbers)
    return Drawn(style.finished(figure), _alt(comparison, numbers, words, unit))


def draw_losses(comparison: Comparison, numbers: pd.DataFrame) -> Drawn:
    """A row of panels a group, a column a term."""
    groups = list(dict.fromkeys(numbers["group"]))[:MOST_ROWS]
    terms = list(dict.fromkeys(numbers["name"]))
    looks = style.looks(shown.levels(comparison))
    figure = style.figure(style.COLUMN if len(terms) == 1 else style.PAGE, 2.2 * len(groups) + 0.5)
    grid = style.panels(figure, len(groups), len(terms))
    for row, group in zip(grid, groups, strict=True):
        for axes, term in zip(row, terms, strict=True):
            mine = shown.where(numbers, group=group, name=term)
            _lines(axes, mine, looks, 1.0)
            title = [shown.title(group)] if len(groups) > 1 else []
            style.label(axes, x="epoch", y=f"mean {_term(term)}", title=", ".join(filter(None, title)) or None)
            if np.min(mine["low"]) >= 0:
                axes.set_ylim(bottom=0)
            style.say_cut(axes, "y")
    _legend(figure, looks, numbers)
    return Drawn(style.finished(figure), _alt(comparison, numbers, "terms of the loss", 1.0))


def _numbers(comparison: Comparison, wanted: Callable[[list[str]], list[str]]) -> pd.DataFrame:
    students = shown.read(comparison, shown.lines(comparison))
    parts = []
    for (group, level), mine in shown.parts(students, ["group", "level"]):
        histories = [comparison.records.history(str(run)) for run in mine.index]
        known = pd.concat([one[wanted(list(one))] for one in histories]) if histories else pd.DataFrame()
        for name in known:
            by_step = known.loc[:, name].groupby(level=0)
            part = pd.DataFrame(
                {
                    "n": by_step.count(),
                    "median": by_step.median(),
                    "low": by_step.quantile(0.25),
                    "high": by_step.quantile(0.75),
                }
            )
            part.index.name = "step"
            parts.append(part.reset_index().assign(group=group, level=level, name=name)[FIELDS])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=FIELDS)


def _lines(axes: Axes, numbers: pd.DataFrame, looks: dict[str, style.Look], unit: float) -> None:
    for level, mine in shown.parts(numbers, "level"):
        look = looks[str(level)]
        every = max(1, len(mine) // 6)
        axes.fill_between(mine["step"], unit * mine["low"], unit * mine["high"], color=look.colour, alpha=0.15, lw=0)
        axes.plot(
            mine["step"], unit * mine["median"], color=look.colour, linestyle=look.line, marker=look.marker,
            markevery=(every // 2, every), markersize=4, linewidth=1.3,
        )  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def _legend(figure: style.Figure, looks: dict[str, style.Look], numbers: pd.DataFrame) -> None:
    there = set(numbers["level"])
    levels = [level for level in looks if level in there]
    key = [
        Line2D([], [], color=looks[one].colour, linestyle=looks[one].line, marker=looks[one].marker, markersize=4)
        for one in levels
    ]
    style.legend(figure, key, levels, note=BAND)


def _is_loss(name: str) -> bool:
    return name.startswith("train/") and name not in NOT_LOSSES


def _term(name: str) -> str:
    words = name.removeprefix("train/").replace("_", " ")
    return "loss" if words == "loss" else f"{words} term of the loss"


def _alt(comparison: Comparison, numbers: pd.DataFrame, words: str, unit: float) -> str:
    last = numbers.loc[numbers.groupby(["group", "level", "name"], sort=False)["step"].idxmax()]
    whole = last.loc[last["name"] == "train/loss"]
    last = last if whole.empty else whole
    named = len(set(last["name"])) > 1

    def told(group: str) -> Iterator[str]:
        for row in shown.rows(shown.where(last, group=group)):
            term = f", {_term(row.name)}" if named else ""
            yield f"{shown.called(row.level)}{term} {unit * row.median:.3g}"

    lines = shown.left("level", len(shown.lines(comparison)), len(shown.levels(comparison)))
    ends = shown.spoken(list(dict.fromkeys(last["group"])), told)
    return f"{words} by epoch, median and middle half over students. At the end: {ends}{lines}"


CURVES = View("curves", "Learning curves", "the record of a shown student", metric_numbers, draw_metric)
LOSSES = View("losses", "Terms of the loss", "the record of a shown student", loss_numbers, draw_losses)
