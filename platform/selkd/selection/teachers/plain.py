"""Teacher policies that look at cards alone and know no costs: the controls of every comparison."""

from collections.abc import Sequence
from typing import ClassVar

import torch

from selkd.data import draws
from selkd.selection.teachers.base import RankingPolicy, TeacherEvidence, register


@register
class Random(RankingPolicy):
    """Drawn at random: others for every seed of the run."""

    name: ClassVar[str] = "random"

    def scores(self, evidence: TeacherEvidence, names: Sequence[str], seed: int) -> dict[str, float]:
        luck = draws.uniform(seed, 0, torch.arange(len(names)), "selection/teachers/random", dtype=torch.float64)
        return dict(zip(names, luck.flatten().tolist(), strict=True))


@register
class Accuracy(RankingPolicy):
    """The teachers that do best on their own validation rows, whatever these are."""

    name: ClassVar[str] = "accuracy"

    def scores(self, evidence: TeacherEvidence, names: Sequence[str], seed: int) -> dict[str, float]:
        return {name: evidence.cards[name].accuracy for name in names}
