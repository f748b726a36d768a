"""Category policies: one file a family. Import this package to know them all."""

from selkd.selection.categories import explicit
from selkd.selection.categories.base import CATEGORIES, CategoryEvidence, CategoryPolicy

__all__ = ["CATEGORIES", "CategoryEvidence", "CategoryPolicy", "explicit"]
