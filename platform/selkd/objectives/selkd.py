"""SelKD: distillation as inverse optimal transport between rows and selected categories (Shi et al., ICLR 2025).

A plan couples all rows of the global batch, so every worker solves the problem of the gathered scores and keeps the
plan's own rows. The formulas, and why they differ from the published code, are derived in docs/objectives.md.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from selkd.objectives import official
from selkd.objectives.base import Context, Objective, TeacherSettings, View, register
from selkd.objectives.kd import kl
from selkd.transport import Partial, Plan, Rows, RowsAndColumns, solve

Columns = Literal["free", "batch", "target"]


class SelKDSettings(TeacherSettings):
    """Settings of `selkd`."""

    epsilon: float = Field(
        default=4.0,
        gt=0,
        description="Entropic weight of both plans; plays the part of a temperature.",
        json_schema_extra={"search": [0.5, 10.0]},
    )
    teacher_columns: Columns = Field(
        default="target",
        description="Closed: mass each category receives in the teacher's plan: `free`, `batch` (label counts) or "
        "`target` (the prior wanted at test time).",
    )
    student_columns: Columns = Field(default="free", description="Closed: the same for the student's plan.")
    target: tuple[float, ...] | None = Field(
        default=None, description="Closed: the target prior, one number per selected category; uniform when absent."
    )
    mass: float = Field(
        default=1.0,
        gt=0,
        description="Open: transported mass, in units of the batch's selected rows.",
        json_schema_extra={"search": [0.5, 1.5]},
    )
    normalise: Literal["logprob", "raw"] = Field(
        default="logprob", description="Open: scores are log-probabilities over all outputs (default) or raw logits."
    )
    tolerance: float = Field(default=1e-6, gt=0, description="Relative marginal error at which a plan is accepted.")
    max_iterations: int = Field(
        default=1000, gt=0, description="Iterations after which a plan is taken as it is, with a warning."
    )
    parity: Literal["official"] | None = Field(
        default=None, description="`official` reproduces the published code's losses, faults included."
    )

    @model_validator(mode="after")
    def _masses_agree(self) -> "SelKDSettings":
        if self.student_columns == "batch" and self.teacher_columns != "batch":
            raise ValueError(
                "student_columns: batch needs teacher_columns: batch, because a category without rows in a batch "
                "would get mass from the teacher and none from the student"
            )
        if self.target is not None and (min(self.target) <= 0 or abs(sum(self.target) - 1) > 1e-6):
            raise ValueError("target must be positive and sum to 1")
        return self


@register
class SelKD(Objective):
    """eps^2 KL(P_T || P_S) between the teacher's and the student's transport plans."""

    name: ClassVar[str] = "selkd"
    Settings = SelKDSettings
    settings: SelKDSettings

    def __init__(self, settings: SelKDSettings, context: Context) -> None:
        super().__init__(settings, context)
        if settings.target is not None and len(settings.target) != context.selected:
            raise ValueError(f"objective.target has {len(settings.target)} numbers for {context.selected} categories")

    @property
    def omitted(self) -> Mapping[str, str]:
        if self.settings.parity:
            reason = "the published loss is reproduced with its faults"
            return {"zero at match": reason, "finite": reason, "unselected": reason}
        if self.context.mode == "closed" and self.settings.teacher_columns != self.settings.student_columns:
            return {"zero at match": "the teacher's plan is corrected to its column masses, the student's is not"}
        return {}

    def teacher_term(self, view: View) -> Tensor:
        teacher = self.teacher_scores(view)
        parts = [view.student.to(teacher.dtype), teacher, view.targets.to(teacher.dtype)]
        student, teacher, targets = view.gather(torch.cat(parts, 1)).split([p.shape[1] for p in parts], 1)
        ids = self.get_buffer("ids")
        if self.settings.parity:
            loss = official.closed if self.context.mode == "closed" else official.opened
            return view.own(loss(student, teacher, targets, ids))
        if self.context.mode == "closed":
            return view.own(self._closed(student, teacher[:, ids], targets))
        return view.own(self._open(student, teacher, targets))

    def _closed(self, student: Tensor, teacher: Tensor, targets: Tensor) -> Tensor:
        with torch.no_grad():
            log_t = self._plan(teacher, self.settings.teacher_columns, targets).log
        log_s = self._plan(student, self.settings.student_columns, targets).log
        return self.settings.epsilon**2 * kl(log_t, log_s)

    def _plan(self, scores: Tensor, columns: Columns, targets: Tensor) -> Plan:
        if columns == "free":
            return solve(scores, Rows(), epsilon=self.settings.epsilon)
        if columns == "batch":
            masses = targets.sum(0)
        else:
            prior = self.settings.target or [1 / scores.shape[1]] * scores.shape[1]
            masses = scores.new_tensor(prior) * len(scores)
        return solve(
            scores,
            RowsAndColumns(masses),
            epsilon=self.settings.epsilon,
            tolerance=self.settings.tolerance,
            max_iterations=self.settings.max_iterations,
        )

    def _open(self, student: Tensor, teacher: Tensor, targets: Tensor) -> Tensor:
        selected = targets[:, : self.context.selected].sum()
        mass = (self.settings.mass * selected).clamp(max=len(student))
        if mass == 0:
            return 0 * student.sum(1)
        eps = self.settings.epsilon
        if self.settings.normalise == "logprob":
            teacher = eps * F.log_softmax(teacher / eps, dim=1)
            student = eps * F.log_softmax(student / eps, dim=1)
        with torch.no_grad():
            log_t = solve(teacher[:, self.get_buffer("ids")], Partial(mass), epsilon=eps).log
        log_s = solve(student[:, : self.context.selected], Partial(mass), epsilon=eps).log
        return eps**2 * len(student) / mass * kl(log_t, log_s)
