"""The figure of levels that a reader can ask: every student a dot, placed in hundredths of the width."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from selkd.comparison import leaderboard
from selkd.comparison.report.scale import Scale, Tick
from selkd.comparison.report.wording import apart
from selkd.comparison.result import ALL, Comparison

GOLDEN = 0.618034


class Dot(NamedTuple):
    """A student: where it is, and what is said of it."""

    x: float
    y: float
    said: str


@dataclass(frozen=True)
class Strip:
    """A level within a group."""

    level: int  # its place among the levels, by which it has a colour and a shape
    name: str
    summary: str
    dots: Sequence[Dot]
    mean: Dot
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Panel:
    """A group, with an axis of its own."""

    title: str | None
    strips: Sequence[Strip]
    ticks: Sequence[Tick]
    axis: str  # what the axis shows, and from where to where


def panels(comparison: Comparison, order: Sequence[str]) -> list[Panel]:
    """A panel a group; `order` gives levels their colours."""
    groups = comparison.levels.groupby("group", sort=False)
    return [_panel(comparison, str(group), rows, order) for group, rows in groups]


def _panel(comparison: Comparison, group: str, rows: pd.DataFrame, order: Sequence[str]) -> Panel:
    unit, trials = comparison.metric.unit, comparison.trials
    mine = trials.loc[trials["chosen"].astype(bool) & (trials["group"] == group) & trials["value"].notna()]
    ends = [value for value in [*mine["value"], *rows["low"], *rows["high"]] if math.isfinite(value)]
    scale = Scale.over([unit * value for value in ends])
    strips = []
    for row in rows.to_dict("records"):
        students = mine.loc[mine["level"] == row["level"]].sort_values(["split", "seed"], kind="stable")
        dots = [
            Dot(scale.place(unit * trial["value"]), 4 + 12 * ((k * GOLDEN) % 1), _student(comparison, trial))
            for k, trial in enumerate(students.to_dict("records"))
            if math.isfinite(trial["value"])
        ]
        inside = math.isfinite(row["low"]) and math.isfinite(row["high"])
        mean = leaderboard.figure(comparison.metric, row["mean"])
        around = "no interval"
        if inside:
            low, high = (leaderboard.figure(comparison.metric, row[end]) for end in ("low", "high"))
            around = f"{low} to {high}"
        strips.append(
            Strip(
                level=order.index(row["level"]),
                name=row["level"],
                summary=f"{mean} ({around}){row['mark']}",
                dots=dots,
                mean=Dot(scale.place(unit * row["mean"]), 24, f"{apart(row['level'])}: mean {mean} ({around})"),
                low=scale.place(unit * row["low"]) if inside else None,
                high=scale.place(unit * row["high"]) if inside else None,
            )
        )
    return Panel(
        None if group == ALL else leaderboard.group_name(comparison, group),
        strips,
        scale.ticks(),
        scale.words(comparison.metric),
    )


def _student(comparison: Comparison, trial: Mapping[Any, Any]) -> str:
    seed = f", seed {trial['seed']}" if trial["seed"] else ""
    split = f", split {trial['split']}" if trial["split"] else ""
    return f"{apart(trial['level'])}{seed}{split}: {leaderboard.figure(comparison.metric, trial['value'])}"
