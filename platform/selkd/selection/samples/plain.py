"""Policies that look at nothing: the controls of every comparison."""

from typing import ClassVar

import torch
from torch import Tensor

from selkd.data import draws
from selkd.selection.samples.base import RowEvidence, SamplePolicy, SubsetSettings, register
from selkd.selection.samples.budget import spread
from selkd.selection.samples.ranking import kept, preferred

CONTROLS = ("all", "random")


@register
class All(SamplePolicy):
    """Every row as often as every other; with `keep` below 1, a new random share of the rows each epoch."""

    name: ClassVar[str] = "all"

    def rates(self, evidence: RowEvidence, budget: int, seed: int, round: int) -> Tensor:
        return uniform(evidence, budget)


@register
class Random(SamplePolicy):
    """A random subset, the same in every epoch."""

    name: ClassVar[str] = "random"
    Settings = SubsetSettings

    def rates(self, evidence: RowEvidence, budget: int, seed: int, round: int) -> Tensor:
        return kept(preferred(luck(evidence, seed), "hard")[:budget], len(evidence))


def uniform(evidence: RowEvidence, budget: int) -> Tensor:
    """The same rate [n] for every row."""
    return spread(torch.ones(len(evidence)), budget)


def luck(evidence: RowEvidence, seed: int) -> Tensor:
    """One random number [n] a row, the same in every round."""
    return draws.uniform(seed, 0, evidence.ids, "selection", dtype=torch.float64).flatten()
