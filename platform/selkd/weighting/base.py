"""What a weighting is: how much of a row's loss comes from its label and how much from the teacher.

Shapes: b rows of this worker, o outputs of the student.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from selkd.registry import Registry
from selkd.selection import RowEvidence
from selkd.selection.base import PolicySettings


class WeightingSettings(PolicySettings):
    """Settings of a weighting; the bare class is that of one without any."""

    @property
    def plain(self) -> bool:
        """Whether the terms are left as the objective weighs them."""
        return False

    @property
    def needs_outer(self) -> bool:
        """Whether something is fitted on rows of its own."""
        return False

    @property
    def needs_start(self) -> bool:
        """Whether the student must begin as a trained one, with which the teacher is compared."""
        return False

    @property
    def needs_truth(self) -> bool:
        """Whether there must be a truth term."""
        return True


@dataclass(frozen=True)
class Moment:
    """What is known of a batch's rows when they are weighed; nothing here carries a gradient."""

    student: Tensor  # [b, o] logits
    teacher: Tensor  # [b, o] logits over the task
    targets: Tensor  # [b, o]
    ids: Tensor  # [b] row numbers: the keys of random draws
    step: int
    progress: float  # share of training that is over
    begun: Tensor | None = None  # [b, o] logits of the student as it began, where a weighting asks for them

    @cached_property
    def student_probabilities(self) -> Tensor:
        return self.student.softmax(1)

    @cached_property
    def teacher_probabilities(self) -> Tensor:
        return self.teacher.softmax(1)

    @cached_property
    def student_loss(self) -> Tensor:
        """Cross-entropy [b] of the student."""
        return -(self.targets * F.log_softmax(self.student, dim=1)).sum(1)

    @cached_property
    def teacher_loss(self) -> Tensor:
        """Cross-entropy [b] of the teacher."""
        return -(self.targets * F.log_softmax(self.teacher, dim=1)).sum(1)


class Weighting(nn.Module):
    """Weighs the truth and the teacher term of every row, on top of the objective's own weights.

    Its parameters are not the student's: they are fitted on outer rows. Checkpoints keep its state.
    """

    name: ClassVar[str]
    Settings: ClassVar[type[WeightingSettings]] = WeightingSettings

    def __init__(self, settings: WeightingSettings, evidence: RowEvidence, seed: int) -> None:
        super().__init__()
        self.settings, self.seed = settings, seed

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the largest ratio that it can give."""
        return 0.0, 1.0

    def ratio(self, moment: Moment) -> Tensor:
        """The teacher's share [b] of a row, in [0, 1]."""
        raise NotImplementedError

    def weights(self, moment: Moment) -> Mapping[str, Tensor]:
        """Weights [b] of the terms."""
        ratio = self.ratio(moment)
        return {"truth": 1 - ratio, "teacher": ratio}

    def believed(self, moment: Moment, weights: Mapping[str, Tensor]) -> Tensor:
        """How much of the teacher a row gets [b], in [0, 1], given its weights: what is recorded."""
        return weights["teacher"]

    def follows(self, teacher: Tensor, begun: Tensor, targets: Tensor) -> Tensor:
        """Rows [b] that hear the teacher, not the student as it began; both are probabilities [b, o]."""
        return torch.ones(len(teacher), dtype=torch.bool, device=teacher.device)


WEIGHTINGS: Registry[Weighting] = Registry("weighting", "weighting.policy")
register = WEIGHTINGS.register
