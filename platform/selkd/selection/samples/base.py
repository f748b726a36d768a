"""What a sample policy is, what it may read, and the registry that finds it by name.

Shapes: n training rows of the task, o outputs of the student, b rows of a batch. A round is one epoch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from selkd.registry import Registry
from selkd.selection.base import PolicySettings


def _keep(default: float) -> Any:
    return Field(
        default=default,
        gt=0,
        le=1,
        description="Share of the task's training rows that an epoch uses: exactly round(keep * rows) row-gradients.",
        json_schema_extra={"search": [0.1, 1.0]},
    )


class SampleSettings(PolicySettings):
    """Settings that every sample policy has."""

    keep: float = _keep(1.0)
    equal: Literal["epochs", "steps"] = Field(
        default="epochs",
        description="What is equal to a run on all rows: the number of `epochs`, so that a small share costs less, "
        "or the number of `steps`, so that it costs the same.",
    )

    @property
    def needs_teacher(self) -> bool:
        """Whether the policy reads the teacher's answers."""
        return False


@dataclass(frozen=True)
class RowEvidence:
    """What is known of the task's training rows before training."""

    ids: Tensor  # [n] row numbers in the source: the keys of random draws
    labels: Tensor  # [n] of the student
    outputs: int  # o
    rounds: int  # of the whole run
    ask_teacher: Callable[[], Tensor]  # gives [n, o] log-probabilities over the task, plain view

    @cached_property
    def teacher(self) -> Tensor:
        """Log-probabilities [n, o] of the teacher over the task."""
        return self.ask_teacher()

    @cached_property
    def counts(self) -> Tensor:
        """Rows [o] of every output."""
        return torch.bincount(self.labels, minlength=self.outputs)

    def __len__(self) -> int:
        return len(self.labels)


class SamplePolicy:
    """Says how often each row is used in a round, and what its terms weigh.

    What a policy learned from the student is in `state`, which checkpoints keep. The other answers are functions of it.
    """

    name: ClassVar[str]
    Settings: ClassVar[type[SampleSettings]] = SampleSettings

    def __init__(self, settings: SampleSettings) -> None:
        self.settings = settings
        self.state: dict[str, Tensor] = {}

    def rates(self, evidence: RowEvidence, budget: int, seed: int, round: int) -> Tensor:
        """How often each row is used [n], at least 0, with sum `budget`."""
        raise NotImplementedError

    def asks(self, evidence: RowEvidence, seed: int, round: int) -> Tensor | None:
        """Rows whose student logits, at the end of the round, the policy learns from."""
        return None

    def learn(self, evidence: RowEvidence, rows: Tensor, logits: Tensor, round: int) -> None:
        """Take in the student's logits of the rows asked for, at the end of the round."""
        raise NotImplementedError

    def weigh(self, terms: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Weights [b] of a batch's terms; a term that is not named keeps its weight."""
        return {}


class SubsetSettings(SampleSettings):
    """Settings of policies that exist to leave rows out."""

    keep: float = _keep(0.5)


SAMPLES: Registry[SamplePolicy] = Registry("sample policy", "selection.samples.policy")
register = SAMPLES.register
