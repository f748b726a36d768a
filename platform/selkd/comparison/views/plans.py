"""The teacher's and the student's transport plans on the recorded batch, side by side, and what they differ by."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from selkd.comparison import style
from selkd.comparison.result import Comparison
from selkd.comparison.views import shown
from selkd.comparison.views.files import parquet
from selkd.comparison.views.view import CannotShow, Drawn, View
from selkd.comparison.words import listed
from selkd.data.tasks import NOT_SELECTED

MOST_LEVELS = 3
MOST_NAMED = 24
FIELDS = ["level", "run", "epsilon", "row", "label", "category", "teacher", "student"]


class Settings(NamedTuple):
    """How a run's objective makes plans of scores."""

    epsilon: float
    teacher_columns: str
    student_columns: str
    target: tuple[float, ...] | None
    mass: float
    normalise: str


PLAIN = Settings(1.0, "free", "free", None, 1.0, "logprob")
"""Of objectives without plans: each row's probabilities; open, those of the rows surest to belong to the task."""


def numbers(comparison: Comparison) -> pd.DataFrame:
    """A row a level, batch row and selected category: what the teacher's and the student's plan move there.

    One student a level, all of the same split and seed where one has them all. `epsilon` is the run's own, or that of
    the first shown run with plans, or 1.
    """
    runs = shown.one_each(comparison, MOST_LEVELS)
    own = {level: _settings(comparison, run) for level, run in runs.items()}
    usual = next((one for one in own.values() if one is not None), PLAIN)
    parts = []
    for level, run in runs.items():
        probe = parquet(comparison.records, run, "probe.parquet")
        found = None if probe is None else _plans(probe, own[level] or usual)
        if found is not None:
            parts.append(found.assign(level=level, run=run, epsilon=(own[level] or usual).epsilon)[FIELDS])
    if not parts:
        raise CannotShow("no shown student recorded a batch with its teacher's answers.")
    return pd.concat(parts, ignore_index=True)


def draw(comparison: Comparison, numbers: pd.DataFrame) -> Drawn:
    """A row of panels a level: teacher, student, difference; rows of the batch sorted by label."""
    levels = list(dict.fromkeys(numbers["level"]))
    tables = {level: _tables(shown.where(numbers, level=level)) for level in levels}
    top = max(float(max(teacher.max(), student.max())) for teacher, student, _ in tables.values())
    gap = max(float(np.abs(student - teacher).max()) for teacher, student, _ in tables.values()) or 1.0
    figure = style.figure(style.PAGE, 2.5 * len(levels) + 0.5)
    grid = figure.subplots(len(levels), 3, squeeze=False)
    alike = len({tuple(dict.fromkeys(mine["category"])) for _, mine in numbers.groupby("level")}) == 1
    for axes in grid[-1]:
        style.label(axes, x="category")
    for row, level in zip(grid, levels, strict=True):
        teacher, student, labels = tables[level]
        sides = [("teacher", teacher, 0.0, top), ("student", student, 0.0, top),
                 ("student less teacher", student - teacher, -gap, gap)]  # fmt: skip
        mine = shown.where(numbers, level=level)
        names = list(dict.fromkeys(mine["category"]))
        for axes, (title, values, low, high) in zip(row, sides, strict=True):
            image = axes.imshow(values, aspect="auto", cmap=style.SHADES, vmin=low, vmax=high, interpolation="nearest")
            axes.tick_params(labelsize=style.SMALL, length=2)
            _ticks(axes, names, labels)
            if alike and level != levels[-1]:
                axes.set_xticklabels([])
            first = title == "teacher"
            style.label(axes, y=f"{style.name(level)}\nrows by label" if first else None, title=title)
            if not first:
                axes.set_yticks([])
            if title != "teacher":
                bar = figure.colorbar(image, ax=row[:2] if title == "student" else axes, fraction=0.05, pad=0.02)
                bar.ax.tick_params(labelsize=style.SMALL)
                bar.set_label("mass" if title == "student" else "difference in mass", fontsize=style.SMALL)
    return Drawn(style.finished(figure), _alt(numbers, tables, len(shown.levels(comparison))))


def _settings(comparison: Comparison, run: str) -> Settings | None:
    """The settings of a run whose objective makes plans."""
    config = comparison.records.config.loc[run]
    if config.get("objective.name") != "selkd":
        return None
    found = {name: config.get(f"objective.{name}") for name in Settings._fields}
    return Settings(**{name: found[name] if _known(found[name]) else getattr(PLAIN, name) for name in found})


def _plans(probe: pd.DataFrame, settings: Settings) -> pd.DataFrame | None:
    """Both plans of the batch, in the rows that the task has."""
    outputs = [str(name).removeprefix("student/") for name in probe if str(name).startswith("student/")]
    categories = [str(name).removeprefix("teacher/") for name in probe if str(name).startswith("teacher/")]
    names = [name for name in outputs if name != NOT_SELECTED]
    is_open = len(names) < len(outputs)
    if not set(names) <= set(categories):
        return None
    rows = probe if is_open else probe.loc[probe["label"].isin(names)]
    if rows.empty:
        return None
    place = {name: k for k, name in enumerate(names)}
    order = np.argsort([place.get(label, len(names)) for label in rows["label"]], kind="stable")
    rows = rows.iloc[order]
    labels = rows["label"].where(rows["label"].isin(names), NOT_SELECTED)
    student = rows[[f"student/{name}" for name in outputs]].to_numpy(dtype=float)
    teacher = rows[[f"teacher/{name}" for name in categories]].to_numpy(dtype=float)
    ids = [categories.index(name) for name in names]
    if is_open:
        selected = int(labels.isin(names).sum())
        sides = [_open(part, columns, selected, settings) for part, columns in
                 ((teacher, ids), (student, list(range(len(names)))))]  # fmt: skip
    else:
        counts = labels.value_counts().reindex(names).fillna(0).to_numpy(dtype=float)
        sides = [_closed(teacher[:, ids], settings.teacher_columns, counts, settings),
                 _closed(student, settings.student_columns, counts, settings)]  # fmt: skip
    n, k = sides[0].shape
    return pd.DataFrame(
        {
            "row": np.repeat(rows["row"].to_numpy(), k),
            "label": np.repeat(labels.to_numpy(), k),
            "category": np.tile(np.asarray(names, dtype=object), n),
            "teacher": sides[0].ravel(),
            "student": sides[1].ravel(),
        }
    )


def _closed(scores: np.ndarray, columns: str, counts: np.ndarray, settings: Settings) -> np.ndarray:
    """A plan that gives each row its mass of one, and each category what `columns` says."""
    import torch

    from selkd.transport import Rows, RowsAndColumns, solve

    n, k = scores.shape
    prior = np.asarray(settings.target or [1 / k] * k)
    constraint = Rows()
    if columns != "free":
        constraint = RowsAndColumns(torch.from_numpy(counts if columns == "batch" else prior * n))
    return solve(torch.tensor(scores), constraint, epsilon=settings.epsilon).log.exp().numpy()


def _open(scores: np.ndarray, ids: list[int], selected: int, settings: Settings) -> np.ndarray:
    """A plan that moves the mass of the selected rows, from whichever rows fit best."""
    import torch

    from selkd.transport import Partial, solve

    mass = min(settings.mass * selected, len(scores))
    if not mass:
        return np.zeros((len(scores), len(ids)))
    known = torch.tensor(scores)
    if settings.normalise == "logprob":
        known = settings.epsilon * (known / settings.epsilon).log_softmax(1)
    return solve(known[:, ids], Partial(mass), epsilon=settings.epsilon).log.exp().numpy()


def _known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and np.isnan(value))


def _tables(mine: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, list[str]]:
    k = len(set(mine["category"]))
    teacher, student = (np.asarray(mine[side]).reshape(-1, k) for side in ("teacher", "student"))
    return teacher, student, list(mine["label"].iloc[::k])


def _ticks(axes: style.Axes, names: list[str], labels: list[str]) -> None:
    """Categories across; down, each label at the middle of its rows, with a line between labels."""
    shown_names = range(0, len(names), -(-len(names) // MOST_NAMED))
    axes.set_xticks(shown_names, [style.name(names[k], 14) for k in shown_names], rotation=45, ha="right",
                    rotation_mode="anchor")  # fmt: skip
    starts = [k for k in range(len(labels)) if k == 0 or labels[k] != labels[k - 1]]
    ends = [*starts[1:], len(labels)]
    for start in starts[1:]:
        axes.axhline(start - 0.5, color="white", linewidth=0.8)
    every = -(-len(starts) // MOST_NAMED)
    middles = [(start + end - 1) / 2 for start, end in zip(starts, ends, strict=True)]
    axes.set_yticks(middles[::every], [style.name(labels[start], 14) for start in starts[::every]])


def _alt(numbers: pd.DataFrame, tables: dict[str, tuple[np.ndarray, np.ndarray, list[str]]], there: int) -> str:
    told = []
    for level, (teacher, student, _) in tables.items():
        moved = 0.5 * float(np.abs(student - teacher).sum()) / max(float(teacher.sum()), 1e-12)
        epsilon = numbers.loc[numbers["level"] == level, "epsilon"].iloc[0]
        told.append(f"{shown.called(level)} (epsilon {epsilon:g}) {100 * moved:.1f} %")
    return (
        f"Heat maps of the teacher's and the student's plan on the recorded batch of validation rows, and their "
        f"difference. Share of the mass that lies elsewhere in the student's plan: {listed(told)}."
        f"{shown.left('level', len(tables), there)}"
    )


PLANS = View("plans", "Plans of teacher and student", "a recorded batch with a teacher's answers", numbers, draw)
