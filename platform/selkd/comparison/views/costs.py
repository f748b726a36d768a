"""What the metric costs: parameters, multiply-adds, latency, row-gradients, rows kept; and who is beaten in both."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from selkd.comparison import style
from selkd.comparison.result import Comparison
from selkd.comparison.views import shown
from selkd.comparison.views.view import CannotShow, Drawn, View
from selkd.comparison.words import ABSENT, listed, number, settings, text

COSTS = {
    "cost/parameters": "parameters",
    "cost/multiply_adds": "multiply-adds a row",
    "cost/latency_ms": "latency (ms a row)",
    "cost/row_gradients": "row-gradients",
    "selection.samples.keep": "share of rows kept an epoch",
}
LATENCY = "cost/latency_ms"
CLOCK = ("cost/parameters", "cost/multiply_adds")
"""Students that are equal in these are one architecture: what their latencies differ by is the clock's."""
SAME_ROWS = ("data.source", "task.mode", "data.test", "data.image_size")
"""Keys that decide which rows a student is tested on: points are compared where all of them are equal."""
FIELDS = ["cost", "task", "group", "level", "at", "least", "most", "mean", "low", "high"]
EQUAL = 1.01
"""How many times the least a cost must come to before it counts as another cost."""
MOST_TASKS = 3


def numbers(comparison: Comparison) -> pd.DataFrame:
    """A row a cost and a group's level: the cost at which its mean comes, and whether another beats it in both."""
    if comparison.metric.reported.startswith("cost/"):
        raise CannotShow("the metric is a cost itself.")
    students = shown.chosen(comparison)
    known = _known(comparison, students.index)
    students = students.assign(task=_tasks(comparison, students.index))
    told = comparison.levels.set_index(["group", "level"])[["mean", "low", "high"]]
    rows = []
    for name, column in known.items():
        if column.max() <= EQUAL * column.min() or (name == LATENCY and _one_architecture(known)):
            continue
        for (task, group, level), mine in shown.parts(students, ["task", "group", "level"]):
            rows.append((COSTS[str(name)], task, group, level, *_at(column.loc[mine.index], name == LATENCY),
                         *told.loc[(group, level)]))  # fmt: skip
    found = pd.DataFrame(rows, columns=FIELDS)
    found = found.loc[np.isfinite(found[["at", "mean"]].to_numpy(dtype=float)).all(axis=1)].reset_index(drop=True)
    if found.empty:
        raise CannotShow("all levels and groups cost the same, or their costs were not recorded.")
    sign = 1 if comparison.metric.maximise else -1
    found["front"] = [
        not any(_beats(other, row, sign) for other in shown.rows(shown.where(found, cost=row.cost, task=row.task)))
        for row in shown.rows(found)
    ]
    return found


def _at(costs: pd.Series, measured: bool) -> tuple[float, float, float]:
    """The mean cost, and the middle half of what a clock measured."""
    mean = float(costs.mean())
    if not measured:
        return mean, mean, mean
    return mean, float(costs.quantile(0.25)), float(costs.quantile(0.75))


def _one_architecture(known: pd.DataFrame) -> bool:
    counted = [name for name in CLOCK if name in known]
    return bool(counted) and all(known[name].max() <= EQUAL * known[name].min() for name in counted)


def _beats(one: Any, other: Any, sign: int) -> bool:
    """Whether a point is nowhere worse than another, and somewhere better."""
    no_worse = one.at <= other.at and sign * one.mean >= sign * other.mean
    return no_worse and (one.at < other.at or one.mean != other.mean)


def draw(comparison: Comparison, numbers: pd.DataFrame) -> Drawn:
    """A row of panels a task, a column a cost; the front is what no other point beats in cost and metric."""
    unit = comparison.metric.unit
    costs, tasks = (list(dict.fromkeys(numbers[name])) for name in ("cost", "task"))
    drawn, looks = tasks[:MOST_TASKS], style.looks(shown.levels(comparison))
    columns = min(2, len(costs)) if len(drawn) == 1 else len(costs)
    places = [(task, cost) for task in drawn for cost in costs]
    rows = -(-len(places) // columns)
    figure = style.figure(style.COLUMN if columns == 1 else style.PAGE, 2.3 * rows + 0.5)
    panels = [axes for row in style.panels(figure, rows, columns) for axes in row]
    for axes in panels[len(places) :]:
        axes.set_visible(False)
    for axes, (task, cost) in zip(panels, places, strict=False):
        mine = shown.where(numbers, task=task, cost=cost).sort_values("at")
        best = mine.loc[mine["front"]]
        axes.step(best["at"], unit * best["mean"], where="post", color="black", linewidth=1, linestyle="--", zorder=1)
        for level, points in shown.parts(mine, "level"):
            axes.plot(points["at"], unit * points["mean"], color=looks[str(level)].colour, linewidth=0.8, alpha=0.4)
        for row in shown.rows(mine):
            look = looks[row.level]
            axes.plot([row.least, row.most], [unit * row.mean] * 2, color=look.colour, linewidth=1, alpha=0.6)
            axes.plot([row.at, row.at], [unit * row.low, unit * row.high], color=look.colour, linewidth=1, alpha=0.6)
            axes.plot(
                row.at, unit * row.mean, look.marker, color=look.colour, markersize=6,
                markerfacecolor=look.colour if row.front else "white",
            )  # fmt: skip
        least, most = float(np.min(mine["at"])), float(np.max(mine["at"]))
        if 0 < 10 * least < most:
            style.log_axis(axes, "x")
        else:
            axes.xaxis.set_major_formatter(lambda value, _: style.short(value))
            axes.locator_params(axis="x", nbins=5)
        style.label(axes, x=cost, y=shown.values(comparison), title=style.name(task, 40) if len(tasks) > 1 else None)
        style.say_cut(axes, "x")
        style.say_cut(axes, "y")
    levels = [level for level in looks if level in set(numbers["level"])]
    key = [Line2D([], [], marker=looks[one].marker, color=looks[one].colour, linestyle="") for one in levels]
    key.append(Line2D([], [], color="black", linewidth=1, linestyle="--"))
    note = "thin lines join the groups of a level" if len(set(numbers["group"])) > 1 else None
    style.legend(figure, key, [*levels, "Pareto front (filled)"], note=note)
    return Drawn(style.finished(figure), _alt(comparison, numbers, len(drawn), len(tasks)))


def _known(comparison: Comparison, runs: pd.Index) -> pd.DataFrame:
    records = comparison.records
    found = {name: records.metrics.loc[runs, name] for name in COSTS if name in records.metrics}
    found |= {
        name: pd.to_numeric(records.config.loc[runs, name], errors="coerce") for name in COSTS if name in records.config
    }
    return pd.DataFrame({name: found[name] for name in COSTS if name in found}, index=runs).astype(float)


def _tasks(comparison: Comparison, runs: pd.Index) -> list[str]:
    config = comparison.records.config.loc[runs]
    kept = config[[key for key in SAME_ROWS if key in config]].map(text)
    varying = [str(key) for key in kept if kept[key].nunique() > 1 and (kept[key] != ABSENT).any()]
    return [settings(zip(varying, row, strict=True)) or "all" for row in kept[varying].to_numpy().tolist()]


def _alt(comparison: Comparison, numbers: pd.DataFrame, drawn: int, there: int) -> str:
    parts = []
    for cost, mine in shown.parts(numbers, "cost"):
        best = mine.loc[mine["front"]].sort_values("at")
        points = [
            f"{shown.called(row.level)}{_of(row.group, comparison)} {shown.amount(comparison, row.mean)} at "
            f"{number(row.at, 2)}"
            for row in shown.rows(best)
        ]
        parts.append(f"By {cost}: {listed(points, shown.SPOKEN_EACH)}")
    return (
        f"{shown.values(comparison)} against cost. No other point beats these in both. {'. '.join(parts)}."
        f"{shown.left('task', drawn, there)}"
    )


def _of(group: str, comparison: Comparison) -> str:
    return f" ({shown.called(group)})" if len(shown.groups(comparison)) > 1 else ""


COST = View("costs", "The metric against what it costs", "a cost in which levels or groups differ", numbers, draw)
