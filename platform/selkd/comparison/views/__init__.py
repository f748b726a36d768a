"""Views of a comparison: numbers as a frame, a figure of them, and words for both."""

from selkd.comparison.views.levels import LEVELS
from selkd.comparison.views.view import CannotShow, Drawn, Made, Missing, View

__all__ = ["VIEWS", "CannotShow", "Drawn", "Made", "Missing", "View"]

VIEWS: tuple[View, ...] = (LEVELS,)
"""In the order of a report: the answer first, then what stands behind it."""
