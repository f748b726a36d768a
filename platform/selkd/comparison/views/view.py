"""A view: numbers that answer a question about a comparison, a figure of them, and words for who cannot see it."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from selkd.comparison.result import Comparison


class CannotShow(Exception):
    """Raised where a view's numbers do not exist; the text says why."""


@dataclass(frozen=True)
class Missing:
    """Why a view cannot be made of a comparison."""

    reason: str


@dataclass(frozen=True)
class Drawn:
    """A figure, and what it shows in words, with its main numbers."""

    figure: Figure
    alt: str


@dataclass(frozen=True)
class View:
    """One way to look at a comparison.

    `numbers` raises `CannotShow`; `draw` takes what it returned. `make` does both.
    """

    name: str  # what its files are called
    title: str
    needs: str
    numbers: Callable[[Comparison], pd.DataFrame]
    draw: Callable[[Comparison, pd.DataFrame], Drawn]

    def make(self, comparison: Comparison) -> "Made | Missing":
        """Numbers and figure, or why there are none."""
        try:
            numbers = self.numbers(comparison)
        except CannotShow as missing:
            return Missing(str(missing))
        drawn = self.draw(comparison, numbers)
        return Made(numbers, drawn.figure, drawn.alt)


@dataclass(frozen=True)
class Made:
    """A view of one comparison."""

    numbers: pd.DataFrame
    figure: Figure
    alt: str
