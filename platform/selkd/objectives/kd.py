"""Logit distillation restricted to the task."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from selkd.objectives.base import Objective, TeacherSettings, View, register


class KDSettings(TeacherSettings):
    """Settings of `kd`."""

    temperature: float = Field(
        default=4.0, gt=0, description="Softens both distributions.", json_schema_extra={"search": [1.0, 10.0]}
    )


@register
class KD(Objective):
    """tau^2 KL(p_T || p_S) at temperature tau (Hinton et al. 2015).

    Closed: the teacher is renormalised inside the subset. Open: its unselected categories are merged by log-sum-exp
    into the column that the student calls "not selected".
    """

    name: ClassVar[str] = "kd"
    Settings = KDSettings
    settings: KDSettings

    def teacher_term(self, view: View) -> Tensor:
        tau = self.settings.temperature
        scaled = restrict(self.teacher_scores(view) / tau, self.context.ids, self.context.mode == "open")
        log_p = F.log_softmax(scaled, dim=1)
        log_q = F.log_softmax(view.student.to(scaled.dtype) / tau, dim=1)
        return tau**2 * kl(log_p, log_q)


def restrict(scores: Tensor, ids: Tensor, merge: bool) -> Tensor:
    """The selected columns [b, k] of scores [b, K]; with `merge`, one more that sums the unselected ones."""
    ids = ids.to(scores.device)
    chosen = scores[:, ids]
    if not merge:
        return chosen
    rest = torch.ones(scores.shape[1], dtype=torch.bool, device=scores.device)
    rest[ids] = False
    return torch.cat([chosen, scores[:, rest].logsumexp(1, keepdim=True)], 1)


def kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """sum_c p (log p - log q) per row, with 0 log 0 = 0; p may be a plan whose rows do not sum to one."""
    gap = torch.where(log_p == -torch.inf, 0.0, log_p - log_q)
    return (log_p.exp() * gap).sum(1)
