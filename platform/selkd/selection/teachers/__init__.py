"""Teacher policies: which teachers of a repository a student learns from, and how much each counts."""

from selkd.selection.teachers import named, plain
from selkd.selection.teachers.base import TEACHERS, About, Chosen, TeacherEvidence, TeacherPolicy

__all__ = ["TEACHERS", "About", "Chosen", "TeacherEvidence", "TeacherPolicy", "named", "plain"]
