"""Policies that look at nothing: the controls of every comparison."""

from typing import ClassVar

import torch
from torch import Tensor

from selkd.selection.samples.base import RowEvidence, SamplePolicy, register


@register
class All(SamplePolicy):
    """Every row as often as every other."""

    name: ClassVar[str] = "all"

    def rates(self, evidence: RowEvidence, budget: int, seed: int, round: int) -> Tensor:
        n = len(evidence.labels)
        return torch.full((n,), budget / n, dtype=torch.float64)
