"""What a sample policy is, what it may read, and the registry that finds it by name.

Shapes: n training rows of the task, o outputs of the student.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from torch import Tensor

from selkd.selection.base import PolicySettings


class SampleSettings(PolicySettings):
    """Settings that every sample policy has."""


@dataclass(frozen=True)
class RowEvidence:
    """What is known of the task's training rows when a round begins."""

    labels: Tensor  # [n] of the student
    teacher: Tensor | None = None  # [n, o] probabilities over the task, plain view
    student: Tensor | None = None  # [n, o] logits at the end of the last round


class SamplePolicy:
    """Says how often each row is used in a round, and what its terms weigh."""

    name: ClassVar[str]
    Settings: ClassVar[type[SampleSettings]] = SampleSettings
    needs_teacher: ClassVar[bool] = False
    needs_student: ClassVar[bool] = False  # logits on the training rows at the end of every round

    def __init__(self, settings: SampleSettings) -> None:
        self.settings = settings

    def rates(self, evidence: RowEvidence, budget: int, seed: int, round: int) -> Tensor:
        """How often each row is used [n], at least 0, with sum `budget`."""
        raise NotImplementedError

    def weigh(self, evidence: RowEvidence, rows: Tensor, terms: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Weights [b] of terms for the rows of a batch; a term that is not named keeps its weight."""
        return {}


Registered = TypeVar("Registered", bound=type[SamplePolicy])

SAMPLES: dict[str, type[SamplePolicy]] = {}


def register(cls: Registered) -> Registered:
    """Make a sample policy known by its name."""
    assert cls.name not in SAMPLES, f"two sample policies are called {cls.name}"
    SAMPLES[cls.name] = cls
    return cls
