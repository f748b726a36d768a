"""Cross-entropy: the student learns from the labels alone."""

from typing import ClassVar

from selkd.objectives.base import Objective, register


@register
class CrossEntropy(Objective):
    """No teacher: the baseline of every comparison."""

    name: ClassVar[str] = "cross-entropy"
    needs_teacher: ClassVar[bool] = False
