"""What the metric costs: parameters, multiply-adds, latency, row-gradients, rows kept; and who is beaten in both."""

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
SAME_ROWS = ("data.source", "task.mode", "data.test", "data.image_size")
"""Keys that decide which rows a student is tested on: points are compared where all of them are equal."""
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
        if column.max() <= EQUAL * column.min():
            continue
        for (task, group, level), mine in students.groupby(["task", "group", "level"], sort=False):
            rows.append((COSTS[str(name)], task, group, level, column[mine.index].mean(), *told.loc[(group, level)]))
    found = pd.DataFrame(rows, columns=["cost", "task", "group", "level", "at", "mean", "low", "high"])
    found = found[np.isfinite(found[["at", "mean"]].astype(float)).all(axis=1)].reset_index(drop=True)
    if found.empty:
        raise CannotShow("all levels and groups cost the same, or their costs were not recorded.")
    sign = 1 if comparison.metric.maximise else -1
    front = [
        not any(
            (other.at <= row.at and sign * other.mean >= sign * row.mean)
            and (other.at < row.at or sign * other.mean > sign * row.mean)
            for other in mine.itertuples()
        )
        for _, mine in found.groupby(["cost", "task"], sort=False)
        for row in mine.itertuples()
    ]
    order = [place for _, mine in found.groupby(["cost", "task"], sort=False) for place in mine.index]
    return found.assign(front=pd.Series(front, index=order))


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
        mine = numbers[(numbers["task"] == task) & (numbers["cost"] == cost)].sort_values("at")
        best = mine[mine["front"]]
        axes.step(best["at"], unit * best["mean"], where="post", color="black", linewidth=1, linestyle="--", zorder=1)
        for level, points in mine.groupby("level", sort=False):
            axes.plot(points["at"], unit * points["mean"], color=looks[str(level)].colour, linewidth=0.8, alpha=0.4)
        for row in mine.itertuples():
            look = looks[row.level]
            axes.plot([row.at, row.at], [unit * row.low, unit * row.high], color=look.colour, linewidth=1, alpha=0.6)
            axes.plot(
                row.at, unit * row.mean, look.marker, color=look.colour, markersize=6,
                markerfacecolor=look.colour if row.front else "white",
            )  # fmt: skip
        if mine["at"].min() > 0 and mine["at"].max() > 10 * mine["at"].min():
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
    note = "thin lines join the groups of a level" if numbers["group"].nunique() > 1 else None
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
    for cost, mine in numbers.groupby("cost", sort=False):
        best = mine[mine["front"]].sort_values("at")
        points = [
            f"{shown.called(row.level)}{_of(row.group, comparison)} {shown.amount(comparison, row.mean)} at "
            f"{number(row.at, 2)}"
            for row in best.itertuples()
        ]
        parts.append(f"By {cost}: {listed(points, shown.SPOKEN_EACH)}")
    return (
        f"{shown.values(comparison)} against cost. No other point beats these in both. {'. '.join(parts)}."
        f"{shown.left('task', drawn, there)}"
    )


def _of(group: str, comparison: Comparison) -> str:
    return f" ({shown.called(group)})" if len(shown.groups(comparison)) > 1 else ""


COST = View("costs", "The metric against what it costs", "a cost in which levels or groups differ", numbers, draw)
