"""Teacher policies: which teachers of a repository a student learns from, and how much each counts."""

from selkd.selection.teachers import asked, named, plain, related
from selkd.selection.teachers.base import TEACHERS, About, Chosen, Sample, TeacherEvidence, TeacherPolicy

__all__ = [
    "TEACHERS",
    "About",
    "Chosen",
    "Sample",
    "TeacherEvidence",
    "TeacherPolicy",
    "asked",
    "named",
    "plain",
    "related",
]
