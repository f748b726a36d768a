"""What an objective is, and the registry that finds them by name.

Shapes: b rows of this worker, B rows of the global batch, K teacher categories, k selected ones, o outputs: k or k + 1.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from selkd.objectives.links import Link
from selkd.objectives.truth import Truth, truth_loss
from selkd.registry import Registry


@dataclass(frozen=True)
class Context:
    """What an objective may know before training starts."""

    ids: Tensor  # [k] the selected categories among the teacher's K
    mode: Literal["closed", "open"]
    counts: Tensor  # [o] training rows per output
    links: tuple[Link, ...] = ()  # teachers of other categories, in the order of their columns

    @property
    def selected(self) -> int:
        return len(self.ids)

    @property
    def outputs(self) -> int:
        return len(self.counts)


@dataclass(frozen=True)
class View:
    """One batch as an objective sees it: this worker's rows, and how to reach everybody's."""

    student: Tensor  # [b, o] logits
    targets: Tensor  # [b, o] one-hot, or soft after mixing
    teacher: Tensor | None = None  # [b, K] logits
    size: int = 0  # B
    first: int = 0  # position of our first row in the global batch
    gather: Callable[[Tensor], Tensor] = lambda rows: rows  # [b, ...] -> [B, ...], row order, with gradient

    def own(self, rows: Tensor) -> Tensor:
        """Our rows of a gathered tensor."""
        return rows[self.first : self.first + len(self.student)]


class ObjectiveSettings(BaseModel):
    """Settings that every objective has."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    gamma: float = Field(
        default=1.0, ge=0, description="Weight of the truth term.", json_schema_extra={"search": [0.1, 1.0]}
    )
    truth: Truth = Field(
        default="cross-entropy",
        description="Truth term: plain, `logit-adjusted` by training frequency, or `class-balanced`.",
    )

    @model_validator(mode="after")
    def _learns_something(self) -> "ObjectiveSettings":
        if self.gamma == 0 and getattr(self, "alpha", 0) == 0:
            raise ValueError("every weight is zero, so there is nothing to learn. Raise gamma or alpha.")
        return self


class Objective(nn.Module):
    """Compares student and teacher on a batch: named terms, one loss a row, never reduced.

    Each term is scaled so that its mean over the global batch is the published loss; `weights` combines the terms.
    """

    name: ClassVar[str]
    Settings: ClassVar[type[ObjectiveSettings]] = ObjectiveSettings
    needs_teacher: ClassVar[bool] = True
    crosses: ClassVar[bool] = False  # teachers may know other categories than the data

    def __init__(self, settings: ObjectiveSettings, context: Context) -> None:
        super().__init__()
        self.settings = settings
        self.context = context
        self.register_buffer("ids", context.ids, persistent=False)
        self.register_buffer("counts", context.counts, persistent=False)

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each term; a term of weight zero is not computed."""
        found = {"truth": self.settings.gamma}
        if isinstance(self.settings, TeacherSettings):
            found["teacher"] = self.settings.alpha
        return found

    @property
    def omitted(self) -> Mapping[str, str]:
        """Invariants of the conformance suite that do not hold with these settings, each with the reason."""
        return {}

    def terms(self, view: View) -> dict[str, Tensor]:
        """The named terms [b] of non-zero weight."""
        weights = self.weights
        found = {"truth": self.truth_term(view)}
        if weights.get("teacher"):
            found["teacher"] = self.teacher_term(view)
        return {name: term for name, term in found.items() if weights[name]}

    def truth_term(self, view: View) -> Tensor:
        return truth_loss(self.settings.truth, view.student, view.targets, self.get_buffer("counts"))

    def teacher_term(self, view: View) -> Tensor:
        raise AssertionError(f"{self.name} weighs a teacher term that it does not define")

    def teacher_scores(self, view: View) -> Tensor:
        """The teacher's logits [b, K], in the student's precision or float32 at least."""
        assert view.teacher is not None, f"{self.name} needs teacher logits"
        return view.teacher.to(torch.promote_types(view.student.dtype, torch.float32))


class TeacherSettings(ObjectiveSettings):
    """Settings of objectives with one teacher term."""

    alpha: float = Field(
        default=1.0, ge=0, description="Weight of the teacher term.", json_schema_extra={"search": [0.1, 10.0]}
    )


REGISTRY: Registry[Objective] = Registry("objective", "objective.name")
register, find = REGISTRY.register, REGISTRY.find
