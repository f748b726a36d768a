"""Figures of one trial, drawn without pyplot's global state. Colours: Okabe and Ito 2008, told apart by everyone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", ":")
GREY = "#767676"
NOT_LOSSES = ("train/lr", "train/rows_per_second")
SCORES = ("accuracy", "macro_f1", "in_task_accuracy", "reject_recall", "balanced", "auroc")
MOST_NUMBERED = 20
"""Categories up to which every cell shows its count and every row its name."""


def confusion_figure(matrix: Any, names: Sequence[str]) -> Figure:
    """Counts of labels (rows) by answers (columns); shades are shares of the row."""
    counts = np.asarray(matrix)
    n = len(names)
    assert counts.shape == (n, n), (counts.shape, n)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = float(np.clip(1.8 + 0.55 * n, 3.6, 9.0))
    figure = _figure(side + 0.9, side)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the label's rows", fraction=0.046, pad=0.04)
    shown = range(0, n, -(-n // MOST_NUMBERED))
    labels = [names[k] for k in shown]
    axes.set_xticks(shown, labels, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)
    axes.set_yticks(shown, labels, parse_math=False)
    axes.set(xlabel="answer", ylabel="label")
    if n <= MOST_NUMBERED:
        for row, column in np.ndindex(n, n):
            colour = "black" if shares[row, column] > 0.55 else "white"
            axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=colour, fontsize=8)
    return figure


def curves_figure(history: pd.DataFrame) -> Figure:
    """Loss terms and validation metrics by epoch."""
    figure, losses, scores = _panels(2)
    terms = [name for name in history if name.startswith("train/") and name not in NOT_LOSSES]
    _curves(losses, history, [*terms, "validation/nll"], "mean loss")
    _curves(scores, history, [f"validation/{name}" for name in SCORES], "validation")
    scores.set_ylim(0, 1.02)
    return figure


def open_set_figure(scores: Any, labels: Any, correct: Any = None) -> Figure:
    """How a student tells rows of the task (label true) from others by its score: the ROC curve.

    Where it is known which rows it classifies correctly, the OSCR curve of Dhamija et al. 2018 stands beside it.
    """
    scores, inside = np.asarray(scores, dtype=float), np.asarray(labels, dtype=bool)
    figure, *panels = _panels(1 if correct is None else 2)
    if inside.any() and not inside.all():
        _area(panels[0], *roc_curve(scores, inside))
        panels[0].plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1, label="chance")
        if correct is not None:
            _area(panels[1], *oscr_curve(scores, inside, np.asarray(correct, dtype=bool)))
    for axes, title, label in zip(panels, ("ROC", "OSCR"), ("accepted", "accepted and right"), strict=False):
        axes.set(title=title, xlabel="share of other rows accepted", ylabel=f"share of task rows {label}")
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        if axes.lines:
            axes.legend(frameon=False, fontsize=8, loc="lower right")
        else:
            axes.text(0.5, 0.5, "not defined by these rows", ha="center", va="center", color=GREY)
    return figure


def roc_curve(scores: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of other rows, and of task rows, that score at least each threshold."""
    return oscr_curve(scores, inside, inside)


def oscr_curve(scores: np.ndarray, inside: np.ndarray, correct: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of other rows, and of task rows classified correctly, that score at least each threshold."""
    thresholds = np.unique(scores)[::-1]
    others, kept = np.sort(scores[~inside]), np.sort(scores[inside & correct])
    shares = [
        (len(part) - np.searchsorted(part, thresholds, side="left")) / total
        for part, total in ((others, len(others)), (kept, inside.sum()))
    ]
    return np.r_[0.0, shares[0]], np.r_[0.0, shares[1]]


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _panels(count: int) -> tuple[Any, ...]:
    figure = _figure(4.5 * count, 3.6)
    panels = figure.subplots(1, count, squeeze=False)[0]
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    return figure, *panels


def _curves(axes: Axes, history: pd.DataFrame, names: Sequence[str], label: str) -> None:
    shown = history.reindex(columns=names).dropna(axis=1, how="all")
    for index, name in enumerate(shown):
        points = shown[name].dropna()
        (line,) = axes.plot(points.index, points, marker="o" if len(points) < 3 else "", label=_words(name, label))
        line.set(color=COLOURS[index % len(COLOURS)], linestyle=LINES[index % len(LINES)])
    axes.set(xlabel="epoch", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if axes.lines:
        axes.legend(frameon=False, fontsize=8)


def _words(name: str, label: str) -> str:
    return name.removeprefix(f"{label}/").replace("_", " ").replace("/", ": ")


def _area(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    axes.plot(x, y, color=COLOURS[0], label=f"area {np.trapezoid(y, x):.3f}")
    axes.fill_between(x, y, color=COLOURS[0], alpha=0.12)
