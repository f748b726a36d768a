"""Ratios by a rule: how good the teacher is on a row or its category, known beforehand or asked in the step."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from selkd.selection import RowEvidence
from selkd.weighting.base import Moment, Weighting, WeightingSettings, register

TINY = 1e-7


@register
class PerClass(Weighting):
    """The teacher's accuracy on the row's category, over the training rows (AdaKD, arXiv 2106.10494).

    A category without rows gets the mean of the others.
    """

    name: ClassVar[str] = "per-class"

    def __init__(self, settings: WeightingSettings, evidence: RowEvidence, seed: int) -> None:
        super().__init__(settings, evidence, seed)
        self.register_buffer("accuracy", accuracies(evidence), persistent=False)

    def ratio(self, moment: Moment) -> Tensor:
        return moment.targets @ self.get_buffer("accuracy").to(moment.targets.dtype)


def accuracies(evidence: RowEvidence) -> Tensor:
    """The teacher's accuracy [o] on the training rows of every output."""
    right = (evidence.teacher.argmax(1) == evidence.labels).double()
    by_output = torch.zeros(evidence.outputs, dtype=torch.float64).index_add_(0, evidence.labels, right)
    known = evidence.counts > 0
    return torch.where(known, by_output / evidence.counts.clamp(min=1), by_output.sum() / len(evidence))


@register
class LossRule(Weighting):
    """1 - exp(-L_S / L_T) for the teacher, L the cross-entropies of the row; labels keep their weight.

    So a row counts where the student is behind its teacher (Zhou et al. 2021, weighted soft labels).
    """

    name: ClassVar[str] = "loss-rule"

    def ratio(self, moment: Moment) -> Tensor:
        return 1 - torch.exp(-moment.student_loss / (moment.teacher_loss + TINY))

    def weights(self, moment: Moment) -> Mapping[str, Tensor]:
        return {"teacher": self.ratio(moment)}


class ConfidenceSettings(WeightingSettings):
    """Settings of `confidence`."""

    of: Literal["label", "top"] = Field(
        default="label", description="Probability of the row's label, or of the teacher's own answer."
    )


@register
class Confidence(Weighting):
    """The teacher's probability of the row's label, or of its own answer."""

    name: ClassVar[str] = "confidence"
    Settings = ConfidenceSettings
    settings: ConfidenceSettings

    def ratio(self, moment: Moment) -> Tensor:
        found = moment.teacher_probabilities
        return (found * moment.targets).sum(1) if self.settings.of == "label" else found.amax(1)
