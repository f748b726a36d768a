"""Data-partitioned transfer: a trained student learns from a teacher only where that is surer than it was itself.

Roth et al. 2023 (arXiv 2310.17653): with f the student as it began, c the confidence of each and ties for the student,

    loss_i = KL(teacher || student) where c_teacher > c_f, else KL(f || student)
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from selkd.weighting.base import Moment, Weighting, WeightingSettings, register


class TransferSettings(WeightingSettings):
    """Settings of `dp-transfer`."""

    of: Literal["label", "top"] = Field(
        default="label",
        description="Confidence: the probability of the row's label (supervised), or of one's own answer.",
        json_schema_extra={"search": ["label", "top"]},
    )

    @property
    def needs_start(self) -> bool:
        return True

    @property
    def needs_truth(self) -> bool:
        return False


@register
class Transfer(Weighting):
    """The teacher where it is surer than the student was when it began (`start`), else that student.

    DP transfer (Roth et al. 2023). Both terms keep the objective's weights; `objective.gamma: 0` is the published loss.
    """

    name: ClassVar[str] = "dp-transfer"
    Settings = TransferSettings
    settings: TransferSettings

    def follows(self, teacher: Tensor, begun: Tensor, targets: Tensor) -> Tensor:
        return self._confidence(teacher, targets) > self._confidence(begun, targets)

    def _confidence(self, found: Tensor, targets: Tensor) -> Tensor:
        return (found * targets).sum(1) if self.settings.of == "label" else found.amax(1)

    def ratio(self, moment: Moment) -> Tensor:
        assert moment.begun is not None, "the student begins as a trained one"
        followed = self.follows(moment.teacher_probabilities, moment.begun.softmax(1), moment.targets)
        return followed.to(moment.student.dtype)

    def weights(self, moment: Moment) -> Mapping[str, Tensor]:
        return {"teacher": torch.ones_like(moment.student[:, 0])}

    def believed(self, moment: Moment, weights: Mapping[str, Tensor]) -> Tensor:
        return self.ratio(moment)
