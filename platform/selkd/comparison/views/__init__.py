"""Views of a comparison: numbers as a frame, a figure of them, and words for both."""

from selkd.comparison.views.categories import CATEGORIES
from selkd.comparison.views.costs import COST
from selkd.comparison.views.curves import CURVES, LOSSES
from selkd.comparison.views.differences import DIFFERENCES
from selkd.comparison.views.flips import FLIPS
from selkd.comparison.views.kept import KEPT_CATEGORIES, KEPT_ROWS
from selkd.comparison.views.levels import LEVELS
from selkd.comparison.views.open_set import DETECTION, RISK
from selkd.comparison.views.plans import PLANS
from selkd.comparison.views.ranks import RANKS
from selkd.comparison.views.ratios import RATIOS
from selkd.comparison.views.samples import KEPT_SAMPLES
from selkd.comparison.views.search import IMPORTANCES, SLICES
from selkd.comparison.views.view import CannotShow, Drawn, Made, Missing, View

__all__ = ["VIEWS", "CannotShow", "Drawn", "Made", "Missing", "View"]

VIEWS: tuple[View, ...] = (
    LEVELS,
    DIFFERENCES,
    RANKS,
    COST,
    CATEGORIES,
    FLIPS,
    DETECTION,
    RISK,
    KEPT_CATEGORIES,
    KEPT_ROWS,
    KEPT_SAMPLES,
    RATIOS,
    SLICES,
    IMPORTANCES,
    CURVES,
    LOSSES,
    PLANS,
)
"""In the order of a report: the answer first, then what stands behind it."""
