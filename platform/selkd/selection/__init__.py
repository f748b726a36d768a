"""Selection policies: which categories a student is for, which rows it learns from, and from whom. Three registries."""

from selkd.selection.categories import CATEGORIES, CategoryEvidence, CategoryPolicy
from selkd.selection.samples import SAMPLES, RowEvidence, SamplePolicy
from selkd.selection.teachers import TEACHERS, TeacherEvidence, TeacherPolicy

__all__ = [
    "CATEGORIES",
    "SAMPLES",
    "TEACHERS",
    "CategoryEvidence",
    "CategoryPolicy",
    "RowEvidence",
    "SamplePolicy",
    "TeacherEvidence",
    "TeacherPolicy",
]
