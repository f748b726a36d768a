"""How well levels tell rows of the task from others, and how wrong they are on what they answer."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from selkd.comparison import style
from selkd.comparison.result import Comparison
from selkd.comparison.views import shown
from selkd.comparison.views.files import answers, scores
from selkd.comparison.views.view import CannotShow, Drawn, View
from selkd.comparison.words import listed
from selkd.tracking.figures import oscr_curve, roc_curve

GRID = np.linspace(0, 1, 101)
FIELDS = ["curve", "group", "level", "n", "x", "mean", "low", "high", "area"]
BAND = "line: mean over students; band: the middle half of them"
MOST_ROWS = 3


class Axis(NamedTuple):
    """What the axes of a curve are called."""

    x: str
    y: str


AXES = {
    "ROC": Axis("share of other rows accepted", "share of task rows accepted"),
    "OSCR": Axis("share of other rows accepted", "share of task rows accepted and right"),
    "risk-coverage": Axis("share of rows answered", "share of wrong answers among them"),
}
WRONG = " Wrong is a row of the task answered with another category; of an open task also any other row accepted."
Curve = tuple[np.ndarray, np.ndarray]


def detection_numbers(comparison: Comparison) -> pd.DataFrame:
    """ROC and OSCR (Dhamija et al. 2018) of open tasks over shares of other rows: means, quartiles, areas."""
    return _numbers(comparison, _detection, "no shown student of an open task recorded its answers on test.")


def risk_numbers(comparison: Comparison) -> pd.DataFrame:
    """Risk over coverage (El-Yaniv and Wiener 2010): the surest rows come first; the area is the mean risk."""
    return _numbers(comparison, _risk, "no shown student recorded its answers on test.")


def draw(comparison: Comparison, numbers: pd.DataFrame) -> Drawn:
    """A row of panels a group, a column a curve."""
    curves = list(dict.fromkeys(numbers["curve"]))
    groups = list(dict.fromkeys(numbers["group"]))[:MOST_ROWS]
    looks = style.looks(shown.levels(comparison))
    alone = len(curves) == 1 and len(groups) > 1
    rows, columns = (-(-len(groups) // 2), 2) if alone else (len(groups), len(curves))
    figure = style.figure(style.COLUMN if columns == 1 else style.PAGE, 2.6 * rows + 0.5)
    panels = [axes for row in style.panels(figure, rows, columns) for axes in row]
    places = [(group, curve) for group in groups for curve in curves]
    for axes in panels[len(places) :]:
        axes.set_visible(False)
    for axes, (group, curve) in zip(panels, places, strict=False):
        mine = shown.where(numbers, group=group, curve=curve)
        for level, one in shown.parts(mine, "level"):
            look = looks[str(level)]
            axes.fill_between(one["x"], one["low"], one["high"], color=look.colour, alpha=0.15, lw=0)
            axes.plot(one["x"], one["mean"], color=look.colour, linestyle=look.line, marker=look.marker,
                      markevery=(5, 20), markersize=4, linewidth=1.3)  # fmt: skip
        if curve == "ROC":
            axes.plot([0, 1], [0, 1], color=style.GREY, linestyle=":", linewidth=1)
        axes.set(xlim=(0, 1), ylim=(0, 1.02) if curve != "risk-coverage" else (0, None))
        title = ", ".join(filter(None, (curve if len(curves) > 1 else None, shown.title(group))))
        style.label(axes, *AXES[curve], title=title or None)
    levels = [level for level in looks if level in set(numbers["level"])]
    key = [Line2D([], [], color=looks[one].colour, linestyle=looks[one].line, marker=looks[one].marker, markersize=4)
           for one in levels]  # fmt: skip
    style.legend(figure, key, levels, note=BAND)
    return Drawn(style.finished(figure), _alt(comparison, numbers, groups))


def _numbers(
    comparison: Comparison, curves_of: Callable[[pd.DataFrame], Mapping[str, Curve]], missing: str
) -> pd.DataFrame:
    students = shown.read(comparison, shown.lines(comparison))
    parts = []
    for (group, level), mine in shown.parts(students, ["group", "level"]):
        frames = [answers(comparison.records, str(run)) for run in mine.index]
        found = [curves_of(frame) for frame in frames if frame is not None and len(frame)]
        for curve in dict.fromkeys(name for one in found for name in one):
            known = [one[curve] for one in found if curve in one]
            heights = np.array([_at_grid(*one) for one in known])
            low, high = np.quantile(heights, (0.25, 0.75), axis=0)
            area = float(np.mean([np.trapezoid(y, x) for x, y in known]))
            parts.append(
                pd.DataFrame(
                    {"curve": curve, "group": group, "level": level, "n": len(known), "x": GRID,
                     "mean": heights.mean(0), "low": low, "high": high, "area": area}
                )
            )  # fmt: skip
    if not parts:
        raise CannotShow(missing)
    return pd.concat(parts, ignore_index=True).loc[:, FIELDS]


def _detection(frame: pd.DataFrame) -> dict[str, Curve]:
    logits, names, is_open = scores(frame)
    inside = frame["label"].isin(names).to_numpy()
    if not is_open or inside.all() or not inside.any():
        return {}
    accepted = _acceptance(logits)
    right = np.asarray(names)[logits[:, :-1].argmax(1)] == frame["label"].to_numpy(dtype=str)
    return {"ROC": roc_curve(accepted, inside), "OSCR": oscr_curve(accepted, inside, right)}


def _risk(frame: pd.DataFrame) -> dict[str, Curve]:
    """Of an open task a row is answered when it is accepted, and what is answered of other rows is wrong."""
    logits, names, is_open = scores(frame)
    selected = logits[:, : len(names)]
    right = np.asarray(names)[selected.argmax(1)] == frame["label"].to_numpy(dtype=str)
    sure = _acceptance(logits) if is_open else _largest(selected)
    order = np.argsort(-sure, kind="stable")
    counts = np.arange(1, len(order) + 1)
    risk = (~right[order]).cumsum() / counts
    last = np.r_[np.diff(sure[order]) != 0, True]  # equally sure rows are answered together
    return {"risk-coverage": (counts[last] / len(order), risk[last])}


def _acceptance(logits: np.ndarray) -> np.ndarray:
    import torch

    from selkd.models.deploy import acceptance

    return acceptance(torch.tensor(logits)).numpy()


def _largest(logits: np.ndarray) -> np.ndarray:
    """The largest probability."""
    return 1 / np.exp(logits - logits.max(1, keepdims=True)).sum(1)


def _at_grid(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The curve's height at each grid point, its top where it rises straight up."""
    last = np.r_[np.diff(x) != 0, True]
    return np.interp(GRID, x[last], y[last])


def _alt(comparison: Comparison, numbers: pd.DataFrame, groups: list[str]) -> str:
    def told(group: str) -> Iterator[str]:
        return _areas(shown.where(numbers, group=group).drop_duplicates(["curve", "level"]))

    what = " and ".join(dict.fromkeys(numbers["curve"]))
    left = shown.left("group", len(groups), len(set(numbers["group"])))
    left += shown.left("level", len(shown.lines(comparison)), len(shown.levels(comparison)))
    wrong = WRONG if RISK.name in set(numbers["curve"]) else ""
    return f"{what} on test, mean over students.{wrong} {shown.spoken(groups, told)}{left}"


def _areas(mine: pd.DataFrame) -> Iterator[str]:
    for curve, one in shown.parts(mine, "curve"):
        areas = [f"{shown.called(row.level)} {row.area:.3f}" for row in shown.rows(one)]
        yield f"area under {curve}: {listed(areas, shown.SPOKEN_EACH)}"


DETECTION = View("open-set", "Telling task rows from others", "an open task", detection_numbers, draw)
RISK = View("risk-coverage", "How wrong the answers are", "answers on test", risk_numbers, draw)
