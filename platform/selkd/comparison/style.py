"""How figures of a comparison look: readable in print and without colours, whatever a category is called.

Colours are those of Okabe and Ito 2008; levels differ in marker, line and hatch as well. No text is mathematics.
"""

from collections.abc import Sequence
from functools import lru_cache
from textwrap import wrap
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.typing import LineStyleType

from selkd.comparison.words import visible
from selkd.tracking.figures import COLOURS, GREY, LINES

COLUMN, PAGE = 3.3, 7.0
"""Widths in inches of a column and of a page of print."""
SMALL, NORMAL = 8, 9
"""Sizes of type in points."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----", "++++")
SHADES = "cividis"
WRAP = 36
"""Characters of a line of an axis' name."""
LONGEST = 28
"""Characters of a name that a figure has room for."""


class Look(NamedTuple):
    """What a level looks like in every figure."""

    colour: str
    marker: str
    line: LineStyleType
    hatch: str


def looks(levels: Sequence[str]) -> dict[str, Look]:
    """A look for each level; beyond seven colours the marker, the line and the hatch tell them apart."""
    found = {}
    for k, level in enumerate(levels):
        turn = k // len(COLOURS)
        found[level] = Look(
            COLOURS[k % len(COLOURS)],
            MARKERS[(k + turn) % len(MARKERS)],
            LINES[(k + turn) % len(LINES)],
            HATCHES[(k + turn) % len(HATCHES)],
        )
    return found


def figure(width: float, height: float) -> Figure:
    """An empty figure that knows nothing of pyplot."""
    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    return made


def panels(made: Figure, rows: int, columns: int, **sharing: Any) -> list[list[Axes]]:
    """Axes in rows, with a quiet frame and type of a size that can be read."""
    grid = made.subplots(rows, columns, squeeze=False, **sharing)
    for axes in grid.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=SMALL)
    return [list(row) for row in grid]


def by_group(count: int, height: float, **sharing: Any) -> tuple[Figure, list[Axes]]:
    """A figure with a panel a group, two beside each other."""
    columns = min(2, count)
    rows = -(-count // columns)
    made = figure(COLUMN if columns == 1 else PAGE, rows * height + 0.4)
    flat = [axes for row in panels(made, rows, columns, **sharing) for axes in row]
    for axes in flat[count:]:
        axes.set_visible(False)
    return made, flat[:count]


def name(text: str, longest: int = LONGEST) -> str:
    """A name as a figure shows it: nothing in it acts, what the font lacks is spelled out; a long one is cut."""
    text = visible(text)
    if len(text) > longest:
        kept = longest - 1
        text = f"{text[: kept - kept // 2]}…{text[-(kept // 2) :]}"
    return "".join(c if ord(c) in _known() else c.encode("unicode_escape").decode() for c in text)


def label(axes: Axes, x: str | None = None, y: str | None = None, title: str | None = None) -> None:
    """Name axes and panel; long names take several lines."""
    if x is not None:
        axes.set_xlabel(_lines(x), fontsize=SMALL)
    if y is not None:
        axes.set_ylabel(_lines(y), fontsize=SMALL)
    if title is not None:
        axes.set_title(title, fontsize=NORMAL)


def first_column(panels: Sequence[Axes]) -> list[Axes]:
    """The panels at the left, which name the axis that all share."""
    return [axes for axes in panels if (place := axes.get_subplotspec()) is not None and place.is_first_col()]


def say_cut(axes: Axes, axis: str) -> None:
    """Say at an axis that it does not begin at zero, where it does not."""
    low, high = sorted(axes.get_xlim() if axis == "x" else axes.get_ylim())
    if low <= 0 <= high:
        return
    said = f"{axes.get_xlabel() if axis == 'x' else axes.get_ylabel()}\n(axis does not begin at 0)"
    axes.set(**{f"{axis}label": said})


def log_axis(axes: Axes, axis: str) -> None:
    """A logarithmic axis whose numbers are plain text."""
    axes.set(**{f"{axis}scale": "log"})
    along = axes.xaxis if axis == "x" else axes.yaxis
    low, high = along.get_view_interval()
    along.set_major_locator(LogLocator(subs=(1.0,) if high > 300 * low else (1.0, 2.0, 5.0)))
    along.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    along.set_minor_formatter(NullFormatter())


def short(value: float) -> str:
    """`1.5k`, `20M`, `0.05`."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def legend(
    made: Figure, handles: Sequence[Any], names: Sequence[str], columns: int = 4, note: str | None = None
) -> None:
    """One legend for the whole figure, in room of its own below it, with a note on what all of it shows."""
    shown = [name(text, LONGEST + 12) for text in names]
    columns = next((n for n in range(min(columns, len(shown)), 1, -1) if _wide(shown, n) < made.get_figwidth()), 1)
    rows = -(-len(shown) // columns) + (note is not None)
    made.set_figheight(made.get_figheight() + 0.1 + 0.17 * rows)
    made.legend(
        handles, shown, loc="outside lower center", ncols=columns,
        frameon=False, fontsize=SMALL, handlelength=2.6, title=note, title_fontsize=SMALL,
    )  # fmt: skip


def finished(made: Figure) -> Figure:
    """The figure, with every text taken as it is: a `$` in a name begins no formula."""
    for text in made.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)
    return made


def spread(count: int, width: float = 0.6) -> np.ndarray:
    """Offsets around zero that keep `count` things apart."""
    return np.zeros(1) if count == 1 else np.linspace(-width / 2, width / 2, count)


def _wide(names: Sequence[str], columns: int) -> float:
    """Inches that a legend takes, whose columns are filled one after the other."""
    rows = -(-len(names) // columns)
    return sum(0.65 + 0.078 * max(map(len, names[k : k + rows])) for k in range(0, len(names), rows))


def _lines(text: str) -> str:
    return "\n".join(part for line in text.split("\n") for part in wrap(line, WRAP, break_long_words=False) or [""])


@lru_cache(maxsize=1)
def _known() -> frozenset[int]:
    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())


__all__ = ["COLOURS", "COLUMN", "GREY", "NORMAL", "PAGE", "SHADES", "SMALL", "Look"]
