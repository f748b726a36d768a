"""Category policies: one file a family. Import this package to know them all."""

from selkd.selection.categories import plain, taught
from selkd.selection.categories.base import CATEGORIES, CategoryEvidence, CategoryPolicy, Choice

__all__ = ["CATEGORIES", "CategoryEvidence", "CategoryPolicy", "Choice", "plain", "taught"]
