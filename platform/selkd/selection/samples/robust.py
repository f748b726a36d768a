"""Robust Active Distillation: rows near the student's boundary, chosen against an adversary who spoils some answers."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from selkd.errors import UserError
from selkd.selection.samples.base import RowEvidence, SamplePolicy, SubsetSettings, register
from selkd.selection.samples.budget import capped
from selkd.selection.samples.plain import uniform

SMALLEST_GAIN = 1e-6


class RADSettings(SubsetSettings):
    """Settings of `rad`."""

    mistakes: float = Field(
        default=1.0,
        ge=0,
        description="Answers the adversary spoils, as a multiple of the teacher's mistakes on the training rows.",
        json_schema_extra={"search": [0.0, 2.0]},
    )
    every: int = Field(default=1, ge=1, description="Epochs between two scorings by the student.")

    @property
    def needs_teacher(self) -> bool:
        return True


@register
class RAD(SamplePolicy):
    """Among the rows near the boundary, the less informative are used more often: each carries the same expected gain.

    Gains are one less the student's margin; rates are those of `equilibrium`, at most one, on as many rows as the
    budget needs (Baykal et al. 2022). The first epoch uses all rows alike.
    """

    name: ClassVar[str] = "rad"
    Settings = RADSettings
    settings: RADSettings

    def rates(self, evidence: RowEvidence, budget: int, seed: int, round: int) -> Tensor:
        mistakes = self._mistakes(evidence)
        if "gains" not in self.state:
            return uniform(evidence, budget)
        return capped(equilibrium(self.state["gains"], mistakes, at_least=budget)[0], budget)

    def asks(self, evidence: RowEvidence, seed: int, round: int) -> Tensor | None:
        return torch.arange(len(evidence)) if round % self.settings.every == 0 else None

    def learn(self, evidence: RowEvidence, rows: Tensor, logits: Tensor, round: int) -> None:
        best = logits.double().softmax(1).topk(min(2, evidence.outputs)).values
        self.state["gains"] = 1 - (best[:, 0] - best[:, 1:].sum(1))

    def _mistakes(self, evidence: RowEvidence) -> float:
        wrong = int((evidence.teacher.argmax(1) != evidence.labels).sum())
        if (spoiled := self.settings.mistakes * wrong) >= len(evidence):
            raise UserError(
                f"selection.samples.mistakes: {self.settings.mistakes} times the teacher's {wrong} mistakes are all of "
                f"the task's {len(evidence)} training rows, or more. Lower it."
            )
        return spoiled


def equilibrium(gains: Tensor, mistakes: float, at_least: int = 1) -> tuple[Tensor, float]:
    """Probabilities [n] and value of the game max_p min_{|I| = m} sum_{i not in I} p_i g_i, m spoiled answers.

    With gains in descending order and H_k = sum_{i <= k} 1 / g_i: k = argmax (k - m) / H_k, p_i = (1 / g_i) / H_k on
    the first k rows and zero elsewhere; the value is (k - m) / H_k. `at_least` bounds k from below.
    """
    if not 0 <= mistakes < len(gains):
        raise ValueError(f"mistakes: {mistakes} must be at least 0 and below the {len(gains)} rows")
    sorted_gains, order = gains.double().clamp(min=SMALLEST_GAIN).sort(descending=True, stable=True)
    inverse = 1 / sorted_gains
    values = (torch.arange(1, len(gains) + 1, dtype=torch.float64) - mistakes) / inverse.cumsum(0)
    k = max(int(values.argmax()) + 1, at_least)
    inverse[k:] = 0
    return torch.zeros_like(inverse).scatter_(0, order, inverse / inverse.sum()), float(values[k - 1])
