"""What a comparison asks, and the plan that may have been declared before a study began."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selkd.comparison.statistics.sequential import Spending

ALPHA = 0.05
TOGETHER = "+"
POWER = 0.8
"""The chance with which a difference that is there should be told."""


@dataclass(frozen=True)
class Question:
    """Which levels of which factor differ, on which metric."""

    by: str  # a configuration key, several joined by "+", or "study"
    metric: str | None = None  # without a part: reported on test, chosen on validation
    baseline: str | None = None  # the level that all others are compared with; all pairs when absent
    within: tuple[str, ...] = ()  # keys that make groups of their own instead of being tuned away
    difference: float | None = None  # the smallest difference that matters, in the metric's own unit
    alpha: float = ALPHA

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys whose values together make a level."""
        return tuple(self.by.split(TOGETHER))


@dataclass(frozen=True)
class Plan:
    """What a study declared before it began: the question, and after how many seeds it is asked."""

    question: Question
    looks: tuple[int, ...]  # seeds at which the verdict is read; without any, once
    spending: "Spending"

    @classmethod
    def of(cls, declared: Mapping[str, Any]) -> "Plan":
        """The plan as a study's run records it."""
        question = Question(
            by=str(declared["by"]),
            metric=declared.get("metric"),
            baseline=declared.get("baseline"),
            within=tuple(declared.get("within") or ()),
            difference=declared.get("difference"),
            alpha=float(declared.get("alpha") or ALPHA),
        )
        looks = tuple(int(look) for look in declared.get("looks") or ())
        return cls(question, looks, declared.get("spending") or "obrien-fleming")
