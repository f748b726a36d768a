"""Policies that keep the rows on which the teacher can be trusted, or is neither too sure nor too unsure."""

from typing import ClassVar, Self

from pydantic import Field, model_validator
from torch import Tensor

from selkd.errors import UserError
from selkd.selection.samples.base import RowEvidence, SamplePolicy, SampleSettings, register
from selkd.selection.samples.budget import spread


class TeacherFilterSettings(SampleSettings):
    """Settings of `teacher-correct`."""

    @property
    def needs_teacher(self) -> bool:
        return True


class BandSettings(TeacherFilterSettings):
    """Settings of `confidence-band`."""

    low: float = Field(
        default=0.5, ge=0, le=1, description="Least confidence kept.", json_schema_extra={"search": [0.0, 0.7]}
    )
    high: float = Field(
        default=1.0, ge=0, le=1, description="Largest confidence kept.", json_schema_extra={"search": [0.8, 1.0]}
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) is above high ({self.high}). Swap them.")
        return self


class Filter(SamplePolicy):
    """Spends the whole budget on the rows that pass, alike; where they are fewer, they repeat."""

    def passes(self, evidence: RowEvidence) -> Tensor:
        """Which rows [n] pass."""
        raise NotImplementedError

    def rates(self, evidence: RowEvidence, budget: int, seed: int, round: int) -> Tensor:
        passed = self.passes(evidence)
        if not passed.any():
            raise UserError(
                f"selection.samples: {self.name} leaves none of the task's {len(evidence)} training rows. "
                "Loosen its settings, or choose a better teacher or another policy."
            )
        return spread(passed, budget)


@register
class TeacherCorrect(Filter):
    """Rows that the teacher, restricted to the task, answers correctly."""

    name: ClassVar[str] = "teacher-correct"
    Settings = TeacherFilterSettings

    def passes(self, evidence: RowEvidence) -> Tensor:
        return evidence.teacher.argmax(1) == evidence.labels


@register
class ConfidenceBand(Filter):
    """Rows on which the teacher's largest probability over the task lies in a band."""

    name: ClassVar[str] = "confidence-band"
    Settings = BandSettings
    settings: BandSettings

    def passes(self, evidence: RowEvidence) -> Tensor:
        confidence = evidence.teacher.exp().amax(1)
        return (confidence >= self.settings.low) & (confidence <= self.settings.high)
