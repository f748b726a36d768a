"""KD3: rows of confident pseudo-labels, with a bar that is lower for categories that are met less often."""

import logging
import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from selkd.selection.samples.base import RowEvidence, SamplePolicy, SampleSettings, register
from selkd.selection.samples.budget import spread
from selkd.selection.samples.plain import uniform

log = logging.getLogger(__name__)


class KD3Settings(SampleSettings):
    """Settings of `kd3`."""

    cutoff: float = Field(
        default=0.95,
        ge=0,
        lt=1,
        description="Confidence that the most frequent category must exceed.",
        json_schema_extra={"search": [0.7, 0.99]},
    )

    @property
    def needs_teacher(self) -> bool:
        return True


@register
class KD3(SamplePolicy):
    """Class-adaptive thresholds on a mixture of teacher and student that moves to the student (Tang et al. 2023).

    The mixture is of log-probabilities over the task; the first epoch knows the teacher alone. Labels are not read.
    Rows that pass are used alike, repeatedly where they are few; where none passes, all rows are used, with a warning.
    """

    name: ClassVar[str] = "kd3"
    Settings = KD3Settings
    settings: KD3Settings

    def rates(self, evidence: RowEvidence, budget: int, seed: int, round: int) -> Tensor:
        passed = self.state.get("passed")
        if passed is None:
            passed = confident(evidence.teacher.exp(), self.settings.cutoff)
        if not passed.any():
            log.warning("selection.samples: kd3 leaves no row in epoch %d, so all are used. Lower cutoff.", round + 1)
            return uniform(evidence, budget)
        return spread(passed, budget)

    def asks(self, evidence: RowEvidence, seed: int, round: int) -> Tensor | None:
        return torch.arange(len(evidence))

    def learn(self, evidence: RowEvidence, rows: Tensor, logits: Tensor, round: int) -> None:
        a = teacher_share(round + 1, evidence.rounds)
        mixed = a * evidence.teacher + (1 - a) * logits.double().log_softmax(1)
        self.state["passed"] = confident(mixed.softmax(1), self.settings.cutoff)


def teacher_share(round: int, rounds: int) -> float:
    """1 - exp(-5 ((e + 1) / E - 1)^2) in the first half of the run, zero in the second; E is two thirds of the run.

    The published curve has E = 160 and its end at 120 of 240 epochs.
    """
    return 1 - math.exp(-5 * ((round + 1) / (2 / 3 * rounds) - 1) ** 2) if 2 * round < rounds else 0.0


def thresholds(counts: Tensor, cutoff: float) -> Tensor:
    """cutoff b / (2 - b) [o], b the count of a category over the largest one."""
    b = counts / counts.max()
    return cutoff * b / (2 - b)


def confident(probabilities: Tensor, cutoff: float) -> Tensor:
    """Which rows [n] exceed the threshold of their most probable category."""
    confidence, category = probabilities.max(1)
    counts = torch.bincount(category, minlength=probabilities.shape[1]).double()
    return confidence > thresholds(counts, cutoff)[category]
