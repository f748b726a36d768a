"""Category policies: one file a family. Import this package to know them all."""

from selkd.selection.categories import controls, explicit, taught
from selkd.selection.categories.base import CATEGORIES, CategoryEvidence, CategoryPolicy, Choice

__all__ = ["CATEGORIES", "CategoryEvidence", "CategoryPolicy", "Choice", "controls", "explicit", "taught"]
