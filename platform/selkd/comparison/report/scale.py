"""From values to hundredths of a figure's width or height."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from matplotlib.ticker import MaxNLocator

from selkd.comparison.result import Metric

MARGIN = 4.0
"""Hundredths left free at both ends, so that no mark is cut."""


class Tick(NamedTuple):
    """A number on an axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Scale:
    """An axis from the lowest to the highest value."""

    low: float
    high: float

    @classmethod
    def over(cls, values: Sequence[float]) -> "Scale":
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        if low == high:
            low, high = low - abs(low or 1) * 0.01, high + abs(high or 1) * 0.01
        return cls(low, high)

    def place(self, value: float) -> float:
        return round(MARGIN + (100 - 2 * MARGIN) * (value - self.low) / (self.high - self.low), 2)

    def ticks(self, *, whole: bool = False) -> list[Tick]:
        """Round numbers within the scale."""
        values = MaxNLocator(4, steps=[1, 2, 2.5, 5, 10], integer=whole).tick_values(self.low, self.high)
        return [Tick(self.place(value), f"{value:.6g}") for value in values if self.low <= value <= self.high]

    def words(self, metric: Metric) -> str:
        """What the axis shows, and that it is cut where it is."""
        unit = " (%)" if metric.share else ""
        cut = "" if self.low <= 0 <= self.high else " The axis does not begin at 0."
        return f"{metric.words}{unit}, from {self.low:.4g} to {self.high:.4g}.{cut}"
