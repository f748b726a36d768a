"""Where student and teacher disagree: rows that one answers rightly and the other does not."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.patches import Patch

from selkd.comparison import style
from selkd.comparison.result import Comparison
from selkd.comparison.views import shown
from selkd.comparison.views.files import answers, parquet
from selkd.comparison.views.view import CannotShow, Drawn, View
from selkd.comparison.words import listed
from selkd.data.tasks import NOT_SELECTED

CELLS = ("both right", "student alone right", "teacher alone right", "both wrong")
FACES = ((style.COLOURS[5], ""), (style.COLOURS[2], "...."), (style.COLOURS[1], "////"), (style.GREY, "xxxx"))
TEST, PROBE = "test rows", "rows of the recorded validation batch"


def numbers(comparison: Comparison) -> pd.DataFrame:
    """A row a group and level: students, rows of each, and the mean count of each cell over students.

    Read off the answers on test, or off the recorded validation batch where a student has no answers of its teacher.
    """
    levels = shown.levels(comparison)
    students = shown.read(comparison, levels)
    known = {run: _on_test(comparison, str(run)) for run in students.index}
    rows = TEST
    if any(table is None for table in known.values()):
        known, rows = {run: _on_probe(comparison, str(run)) for run in students.index}, PROBE
    found = []
    for (group, level), mine in shown.parts(students, ["group", "level"]):
        tables = [table for run in mine.index if (table := known[run]) is not None and len(table)]
        if tables:
            counts = np.mean([_cells(table) for table in tables], axis=0)
            found.append((group, level, rows, len(tables), float(np.mean([len(t) for t in tables])), *counts))
    if not found:
        raise CannotShow("no shown student recorded what its teacher answers; a student without a teacher has none.")
    return pd.DataFrame(found, columns=["group", "level", "of", "n", "rows", *CELLS])


def draw(comparison: Comparison, numbers: pd.DataFrame) -> Drawn:
    """A bar a level, in shares of the rows."""
    groups = list(dict.fromkeys(numbers["group"]))
    order = [level for level in shown.levels(comparison) if level in set(numbers["level"])]
    figure, panels = style.by_group(len(groups), 0.8 + 0.26 * len(order), sharey=True)
    for axes, group in zip(panels, groups, strict=True):
        mine = shown.where(numbers, group=group)
        places, start = [order.index(level) for level in mine["level"]], np.zeros(len(mine))
        for cell, (colour, hatch) in zip(CELLS, FACES, strict=True):
            width = 100 * (mine[cell] / mine["rows"]).to_numpy(dtype=float)
            axes.barh(
                places, width, left=start, height=0.7, color=colour, hatch=hatch, edgecolor="white", linewidth=0.5
            )
            start = start + width
        axes.set(xlim=(0, 100))
        axes.set_yticks(range(len(order)), [style.name(level) for level in order])
        style.label(axes, x=f"share of {numbers['of'].iloc[0]} (%)", title=shown.title(group))
    panels[0].set_ylim(len(order) - 0.5, -0.5)
    key = [Patch(facecolor=colour, hatch=hatch, edgecolor="white") for colour, hatch in FACES]
    style.legend(figure, key, CELLS, columns=2)
    return Drawn(style.finished(figure), _alt(comparison, numbers, groups))


def _on_test(comparison: Comparison, run: str) -> pd.DataFrame | None:
    """Label, and the answers of student and teacher, of each test row."""
    found = answers(comparison.records, run)
    return None if found is None or "teacher" not in found else found.loc[:, ["label", "prediction", "teacher"]]


def _on_probe(comparison: Comparison, run: str) -> pd.DataFrame | None:
    """The same of the task's rows of the recorded batch; the teacher restricted to the task, as in training."""
    found = parquet(comparison.records, run, "probe.parquet")
    if found is None:
        return None
    students = [str(name) for name in found if str(name).startswith("student/")]
    outputs = [name.removeprefix("student/") for name in students]
    names = [name for name in outputs if name != NOT_SELECTED]
    if not {f"teacher/{name}" for name in names} <= set(found):
        return None
    logits = found[[f"teacher/{name}" for name in names]].to_numpy(dtype=float)
    label = found["label"].where(found["label"].isin(names), NOT_SELECTED)
    if len(outputs) > len(names):
        rest = [c for c in found if str(c).startswith("teacher/") and str(c).removeprefix("teacher/") not in names]
        logits = np.column_stack([logits, np.logaddexp.reduce(found[rest].to_numpy(dtype=float), axis=1)])
    table = pd.DataFrame(
        {
            "label": label,
            "prediction": np.asarray(outputs, dtype=object)[found[students].to_numpy().argmax(1)],
            "teacher": np.asarray(outputs, dtype=object)[logits.argmax(1)],
        }
    )
    return table.loc[table["label"].isin(outputs)]


def _cells(table: pd.DataFrame) -> list[int]:
    student = (table["prediction"] == table["label"]).to_numpy()
    teacher = (table["teacher"] == table["label"]).to_numpy()
    return [
        int(cell.sum()) for cell in (student & teacher, student & ~teacher, teacher & ~student, ~student & ~teacher)
    ]


def _shares(numbers: pd.DataFrame) -> Iterator[str]:
    for _, row in numbers.iterrows():
        parts = [f"{cell} {100 * row[cell] / row['rows']:.1f} %" for cell in CELLS[1:3]]
        yield f"{shown.called(str(row['level']))} {listed(parts)}"


def _alt(comparison: Comparison, numbers: pd.DataFrame, groups: list[str]) -> str:
    def told(group: str) -> Iterator[str]:
        return _shares(shown.where(numbers, group=group))

    left = shown.left("group", len(groups), len(shown.groups(comparison)))
    return f"Who answers rightly, in shares of {numbers['of'].iloc[0]}. {shown.spoken(groups, told)}{left}"


FLIPS = View("flips", "Teacher right, student wrong, and the reverse", "a teacher's answers", numbers, draw)
