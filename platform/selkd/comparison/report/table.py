"""A table as a page and a paper show it: words for reading, numbers for sorting."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from selkd.comparison.leaderboard import LATEX, MARKDOWN
from selkd.comparison.words import number, text


class Link(NamedTuple):
    """One of the runs behind a row."""

    text: str
    address: str | None  # none where it lies in no server that a browser can open
    run: str


@dataclass(frozen=True)
class Cell:
    """What is read in a cell, and by which number it is sorted where that is another."""

    text: str
    order: float | None = None
    links: tuple[Link, ...] = ()
    strong: bool = False


class Column(NamedTuple):
    """A column's name, and whether it holds numbers, or long texts."""

    name: str
    numeric: bool = False
    long: bool = False


@dataclass(frozen=True)
class Table:
    """Rows under named columns; the first column says what a row is about."""

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


def of_frame(found: pd.DataFrame, name: str, caption: str, most: int) -> Table:
    """A frame as it is, its first rows."""
    numeric = [pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind) for kind in found.dtypes]
    columns = [Column(str(column), here) for column, here in zip(found.columns, numeric, strict=True)]
    rows = [
        [
            _number(value) if here else Cell(text(tuple(value) if isinstance(value, list) else value))
            for value, here in zip(row, numeric, strict=True)
        ]
        for row in found.head(most).itertuples(index=False)
    ]
    left = len(found) - len(rows)
    return Table(name, caption, columns, rows, f"{left:,} more rows are in the file." if left else "")


def markdown(table: Table) -> str:
    """For a page of text."""
    lines = [[column.name for column in table.columns], *([cell.text for cell in row] for row in table.rows)]
    shown = [[value.translate(MARKDOWN) for value in line] for line in lines]
    shown.insert(1, ["---:" if column.numeric else "---" for column in table.columns])
    return "".join(f"| {' | '.join(line)} |\n" for line in shown)


def latex(table: Table) -> str:
    """For a paper (booktabs)."""
    lines = [[column.name for column in table.columns], *([cell.text for cell in row] for row in table.rows)]
    head, *body = [" & ".join(value.translate(LATEX) for value in line) + r" \\" for line in lines]
    columns = "".join("r" if column.numeric else "l" for column in table.columns)
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            head,
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _number(value: float) -> Cell:
    if pd.isna(value):
        return Cell("-")
    whole = float(value).is_integer() and abs(value) < 1e15
    return Cell(f"{int(value)}" if whole else number(float(value), 4), float(value))
