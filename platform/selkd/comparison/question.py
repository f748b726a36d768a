"""What a comparison asks, and the plan that may have been declared before a study began."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ALPHA = 0.05
POWER = 0.8
"""The chance with which a difference that is there should be told."""


@dataclass(frozen=True)
class Question:
    """Which levels of which factor differ, on which metric."""

    by: str  # a configuration key, a group of keys, or "study"
    metric: str | None = None  # without a part: reported on test, chosen on validation
    baseline: str | None = None  # the level that all others are compared with; all pairs when absent
    within: tuple[str, ...] = ()  # keys that make groups of their own instead of being tuned away
    difference: float | None = None  # the smallest difference that matters, in the metric's own unit
    alpha: float = ALPHA


@dataclass(frozen=True)
class Plan:
    """What a study declared before it began: the question, and after how many seeds it is asked."""

    by: str
    metric: str
    baseline: str | None
    difference: float | None
    looks: tuple[int, ...]  # seeds at which the verdict is read
    alpha: float = ALPHA

    @classmethod
    def of(cls, declared: Mapping[str, Any]) -> "Plan":
        """The plan as a study's run records it."""
        looks = declared.get("looks") or ()
        return cls(
            by=str(declared["by"]),
            metric=str(declared["metric"]),
            baseline=declared.get("baseline"),
            difference=declared.get("difference"),
            looks=tuple(int(look) for look in ([looks] if isinstance(looks, int) else looks)),
            alpha=float(declared.get("alpha") or ALPHA),
        )

    def answers(self, question: Question) -> bool:
        """Whether this is the question that was declared."""
        return (self.by, self.metric, self.baseline) == (question.by, question.metric, question.baseline)
