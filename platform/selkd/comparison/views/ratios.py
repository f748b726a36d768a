"""Whom students believed: how the teacher's weight was spread over rows, epoch by epoch.

Rows are told apart by whether the teacher was right about them, and by how far the student was from it; where rows were
spoiled on purpose, also by what is wrong with them.
"""

from itertools import product
from textwrap import wrap

import numpy as np
import pandas as pd
from matplotlib.colors import PowerNorm
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from selkd.comparison import style
from selkd.comparison.result import Comparison
from selkd.comparison.tables import Column, Frame
from selkd.comparison.views import shown
from selkd.comparison.views.files import parquet
from selkd.comparison.views.view import CannotShow, Drawn, View
from selkd.comparison.words import listed

MOST_LEVELS, MOST_DRAWN, MOST_READ = 12, 7, 5
BINS, LINE = 20, 16  # of ratios; characters of a level's name beside its panels
LARGE = 0.4
"""The gap from which on it is called large: half the sum of absolute differences of two answers' probabilities."""
TEACHER, GAPS = ("right", "wrong"), ("small", "large")
FAULTS = {"none": "sound", "labels": "wrong label", "images": "noise", "teacher": "wrong teacher"}
"""Kinds of rows where some were spoiled on purpose, and what their panels are called."""
UNTOLD = ""
"""The fault of rows of a run that made none, or whose record does not tell."""
PLACE = ["level", "fault", "teacher", "gap", "epoch"]
FIELDS = ["level", "n", "fault", "teacher", "gap", "epoch", "ratio", "rows", "share"]


def numbers(comparison: Comparison) -> Frame:
    """A row a level, kind of rows, epoch and bin of ratios (`ratio` is its least), pooled over the first group's
    students: how many rows had such a ratio, and their share of all rows of the kind in the epoch."""
    students = shown.read(comparison, shown.levels(comparison)[:MOST_LEVELS], MOST_READ)
    students = students.loc[students["group"] == shown.groups(comparison)[0]]
    parts = []
    for level, mine in shown.parts(students, "level"):
        tables = [parquet(comparison.records, str(run), "ratios.parquet") for run in mine.index]
        known = [table for table in tables if table is not None and len(table)]
        if known:
            parts.append(pd.concat(known).assign(level=level, n=len(known)))
    if not parts:
        raise CannotShow("no shown student weighed labels against a teacher row by row.")
    found: Frame = pd.concat(parts, ignore_index=True)
    found = found.assign(fault=found["fault"].fillna(UNTOLD) if "fault" in found else UNTOLD)
    found["ratio"] = found["ratio"].astype(float).round(2)
    found["gap"] = np.where(found["gap"].astype(float).round(2) >= LARGE, "large", "small")
    found = found.groupby(["level", "n", *PLACE[1:], "ratio"], sort=False, as_index=False)["rows"].sum()
    found["share"] = found["rows"] / found.groupby(PLACE)["rows"].transform("sum")
    order = list(dict.fromkeys(found["level"]))
    found = found.sort_values([*PLACE[1:], "ratio"], kind="stable")
    found = found.sort_values("level", key=lambda names: names.map(order.index), kind="stable")
    return found[FIELDS].reset_index(drop=True)


def draw(comparison: Comparison, numbers: Frame) -> Drawn:
    """A row of panels a level, a column a kind of rows; the line is the mean."""
    faults = _faults(numbers)
    levels = list(dict.fromkeys(numbers["level"]))[:MOST_DRAWN]
    figure = style.figure(style.PAGE, 1.15 * len(levels) + 0.7)
    grid = figure.subplots(len(levels), len(TEACHER) * len(GAPS) + len(faults), squeeze=False, sharex=True, sharey=True)
    last, image = int(numbers["epoch"].max()), None
    for row, level in zip(grid, levels, strict=True):
        mine = shown.where(numbers, level=level)
        for axes, (name, kind) in zip(row, (_by_gap(mine) | _by_fault(mine, faults)).items(), strict=True):
            image = _heat(axes, kind, last) or image
            style.label(axes, title=name.replace(", ", ",\n") if level == levels[0] else None)
        style.label(row[0], y="\n".join(wrap(style.name(level, 2 * LINE), LINE)))
    for axes in grid[-1]:
        style.label(axes, x="epoch")
    assert image is not None, "every row is of one kind"
    bar = figure.colorbar(image, ax=grid.ravel().tolist(), fraction=0.03, pad=0.01, ticks=[0, 0.1, 0.3, 0.6, 1])
    bar.ax.set_yticklabels(["0", "10", "30", "60", "100"])
    bar.ax.tick_params(labelsize=style.SMALL)
    bar.set_label("share of the rows (%)", fontsize=style.SMALL)
    group = shown.title(shown.groups(comparison)[0])
    heading = "the teacher's weight where the teacher is right or wrong about the row"
    if faults:
        heading += ", and where it was spoiled"
    figure.suptitle(f"{group}: {heading}" if group else heading, fontsize=style.NORMAL)
    return Drawn(style.finished(figure), _alt(comparison, numbers, levels))


def _by_gap(mine: Frame) -> dict[str, Frame]:
    """Rows by what the teacher was about them and how far the student was from it, under the names of their panels."""
    return {f"{t}, {gap} gap": shown.where(mine, teacher=t, gap=gap) for t, gap in product(TEACHER, GAPS)}


def _faults(numbers: Frame) -> list[str]:
    """Which faults were made, `none` among them where some rows are known to be sound."""
    made = {fault for names in numbers["fault"].unique() for fault in names.split("+")}
    return [fault for fault in FAULTS if fault in made]


def _by_fault(mine: Frame, faults: list[str]) -> dict[str, Frame]:
    """Rows that have each fault, whatever others they have, under the names of their panels."""
    having = mine["fault"].str.split("+")
    return {FAULTS[fault]: mine.loc[[fault in names for names in having]] for fault in faults}


def _heat(axes: style.Axes, mine: Frame, last: int) -> AxesImage | None:
    """Epochs across, ratios upwards; nothing where there are no such rows."""
    axes.set(xlim=(0.5, last + 0.5), ylim=(0, 1), yticks=[0, 0.5, 1])
    axes.tick_params(labelsize=style.SMALL, length=2)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    if mine.empty:
        axes.text(0.5, 0.5, "no such rows", transform=axes.transAxes, ha="center", va="center", fontsize=style.SMALL)
        return None
    rows = mine.groupby(["epoch", "ratio"])["rows"].sum()
    shares = (rows / rows.groupby("epoch").sum()).reset_index()
    table = np.full((BINS, last), np.nan)
    table[:, shares["epoch"].unique() - 1] = 0
    table[(shares["ratio"] * BINS).round().astype(int), shares["epoch"] - 1] = shares["rows"]
    means = _means(mine, "epoch")
    axes.plot(means.index, means, color=style.COLOURS[1], linewidth=1.3)
    return axes.imshow(
        table, aspect="auto", origin="lower", extent=(0.5, last + 0.5, 0, 1), cmap=style.SHADES,
        norm=PowerNorm(0.5, 0, 1), interpolation="nearest",
    )  # fmt: skip


def _means(mine: Frame, by: str) -> Column:
    """Mean ratio, every row at the middle of its bin."""
    total = ((mine["ratio"] + 0.5 / BINS) * mine["rows"]).groupby(mine[by]).sum()
    return total / mine.groupby(by)["rows"].sum()


def _alt(comparison: Comparison, numbers: Frame, levels: list[str]) -> str:
    told = []
    for level in levels:
        mine = shown.where(numbers, level=level)
        end = mine.loc[mine["epoch"] == mine["epoch"].max()]
        at_the_end = dict(_means(end, "teacher").items())
        for name, kind in _by_fault(end, _faults(end)).items():
            at_the_end[name] = float(_means(kind, "level").iloc[0])
        means = ", ".join(f"{name} {mean:.2f}" for name, mean in at_the_end.items())
        told.append(f"{shown.called(level)} {means}")
    group = shown.title(shown.groups(comparison)[0])
    return (
        f"Heat maps of the teacher's weight by epoch{f' within {group}' if group else ''}, of rows about which the "
        f"teacher is right or wrong, with a gap between student and teacher below and from {LARGE:g}. Means in the "
        f"last epoch: {listed(told, len(told))}.{shown.left('level', len(levels), len(shown.levels(comparison)))}"
    )


RATIOS = View("ratios", "Whom students believed", "students that weighed labels against a teacher", numbers, draw)
