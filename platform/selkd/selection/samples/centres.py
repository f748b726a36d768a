"""k-centre: rows such that no row is far from one that is kept."""

from typing import ClassVar

import torch
from torch import Tensor

from selkd.selection.samples.base import RowEvidence, SamplePolicy, SubsetSettings, register
from selkd.selection.samples.ranking import kept


class KCentreSettings(SubsetSettings):
    """Settings of `k-centre`."""

    @property
    def needs_teacher(self) -> bool:
        return True


@register
class KCentre(SamplePolicy):
    """Greedy k-centre on the teacher's probabilities over the task: at most twice the best radius (Gonzalez 1985).

    Probabilities, not logits, so that rows the teacher is sure of are near one another. Time: rows times budget.
    """

    name: ClassVar[str] = "k-centre"
    Settings = KCentreSettings

    def rates(self, evidence: RowEvidence, budget: int, seed: int, round: int) -> Tensor:
        if "kept" not in self.state:
            self.state["kept"] = centres(evidence.teacher.exp().double(), budget)
        return kept(self.state["kept"], len(evidence))


def centres(points: Tensor, count: int) -> Tensor:
    """Rows [count] of points [n, d]: the one nearest to the mean, then always the one farthest from those chosen."""
    chosen = [int((points - points.mean(0)).square().sum(1).argmin())]
    squares = points.square().sum(1)
    distance = torch.full_like(squares, torch.inf)
    while len(chosen) < count:
        centre = chosen[-1]
        torch.minimum(distance, torch.addmv(squares + squares[centre], points, points[centre], alpha=-2), out=distance)
        distance[centre] = -torch.inf  # chosen once, even among equal rows
        chosen.append(int(distance.argmax()))
    return torch.tensor(chosen)
