"""Selection policies: which categories a student is for, and which rows it learns from. Two registries."""

from selkd.selection.categories import CATEGORIES, CategoryEvidence, CategoryPolicy
from selkd.selection.samples import SAMPLES, RowEvidence, SamplePolicy

__all__ = ["CATEGORIES", "SAMPLES", "CategoryEvidence", "CategoryPolicy", "RowEvidence", "SamplePolicy"]
