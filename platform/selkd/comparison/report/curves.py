"""The figure of learning curves that a reader can ask: medians over students, and the middle half of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from selkd.comparison import leaderboard
from selkd.comparison.report.scale import Scale, Tick
from selkd.comparison.report.wording import apart
from selkd.comparison.result import ALL, Comparison


@dataclass(frozen=True)
class Curve:
    """A level's line and band as SVG paths in a square of 100, and what is said of each epoch."""

    level: int
    line: str
    band: str
    said: dict[str, str]  # by epoch


@dataclass(frozen=True)
class Panel:
    """A group, with axes of its own."""

    title: str | None
    curves: Sequence[Curve]
    across: Sequence[Tick]
    up: Sequence[Tick]  # from the top
    axis: str
    data: dict[str, Any]  # for the page's program


def panels(comparison: Comparison, numbers: pd.DataFrame, order: Sequence[str]) -> list[Panel]:
    """A panel a group, from the numbers of the view of learning curves."""
    groups = numbers.groupby("group", sort=False)
    return [_panel(comparison, str(group), rows, order) for group, rows in groups]


def _panel(comparison: Comparison, group: str, rows: pd.DataFrame, order: Sequence[str]) -> Panel:
    unit = comparison.metric.unit
    across = Scale.over([float(step) for step in rows["step"]])
    up = Scale.over([unit * value for name in ("low", "median", "high") for value in rows[name].dropna()])
    name = str(rows["name"].iloc[0]).replace("/", " ").replace("_", " ")
    curves = [
        _curve(comparison, mine.sort_values("step"), order.index(str(level)), str(level), across, up)
        for level, mine in rows.groupby("level", sort=False)
    ]
    steps = sorted({int(step) for step in rows["step"]})
    data = {
        "steps": [[step, across.place(step)] for step in steps],
        "said": [[one.level, one.said] for one in curves],
    }
    cut = "" if up.low <= 0 <= up.high else " The axis does not begin at 0."
    return Panel(
        None if group == ALL else leaderboard.group_name(comparison, group),
        curves,
        across.ticks(whole=True),
        [Tick(100 - at, text) for at, text in up.ticks()],
        f"{name}{' (%)' if comparison.metric.share else ''} by epoch, from {up.low:.4g} to {up.high:.4g}.{cut}",
        data,
    )


def _curve(
    comparison: Comparison, rows: pd.DataFrame, place: int, level: str, across: Scale, up: Scale
) -> Curve:  # fmt: skip
    unit = comparison.metric.unit
    xs = [across.place(step) for step in rows["step"]]
    ends = {
        name: [round(100 - up.place(unit * value), 2) for value in rows[name]] for name in ("low", "median", "high")
    }
    band = [*zip(xs, ends["high"], strict=True), *reversed(list(zip(xs, ends["low"], strict=True)))]
    said = {}
    for row in rows.to_dict("records"):
        median, low, high = (leaderboard.figure(comparison.metric, row[name]) for name in ("median", "low", "high"))
        said[str(row["step"])] = f"{apart(level)} {median} ({low} to {high})"
    return Curve(place, _path(zip(xs, ends["median"], strict=True)), _path(band), said)


def _path(points: Any) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
