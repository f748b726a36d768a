"""The losses of the published SelKD code as they are, faults included, so that the difference can be seen.

Known faults kept here: the cost has the wrong sign, plans go through a second softmax, columns are labels of the batch
rather than categories, the open plan is clipped and rescaled instead of projected, and its loss mixes rows.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

TEMPERATURE = 4.0


def closed(student: Tensor, teacher: Tensor, targets: Tensor, ids: Tensor) -> Tensor:
    """Per-row loss [B] whose mean is 16 KL(softmax(P_T / 4) || softmax(P_S / 4)) / B."""
    with torch.no_grad():
        plan_t = _sinkhorn(teacher[:, ids], targets)
    plan_s = _sinkhorn(student, targets)
    log_t = F.log_softmax(plan_t / TEMPERATURE, dim=1)
    log_s = F.log_softmax(plan_s / TEMPERATURE, dim=1)
    return TEMPERATURE**2 * (log_t.exp() * (log_t - log_s)).sum(1)


def opened(student: Tensor, teacher: Tensor, targets: Tensor, ids: Tensor) -> Tensor:
    """Per-row loss [B], scaled by B so that its mean is the published, undivided sum.

    The teacher is read with the student's labels: "not selected" is its first unselected category.
    """
    order = torch.cat([ids, torch.tensor([c for c in range(teacher.shape[1]) if c not in set(ids.tolist())]).to(ids)])
    selected = targets[:, :-1].sum()
    with torch.no_grad():
        plan_t = _clipped(teacher[:, order[: targets.shape[1]]], targets, selected, 8)
    plan_s = _clipped(student, targets, selected, 3)
    return -len(student) * (plan_t @ plan_s.log()).sum(1)


def _kernel(scores: Tensor, targets: Tensor) -> Tensor:
    return (-(scores @ targets.T) / TEMPERATURE).exp()


def _sinkhorn(scores: Tensor, targets: Tensor) -> Tensor:
    kernel = _kernel(scores, targets)
    v = torch.ones_like(kernel[0])
    u = v
    for _ in range(5):
        u = 1 / (kernel @ v + 1e-6)
        v = 1 / (kernel.T @ u + 1e-6)
    return u[:, None] * kernel * v


def _clipped(scores: Tensor, targets: Tensor, mass: Tensor, rounds: int) -> Tensor:
    plan = _kernel(scores, targets)
    for _ in range(rounds):
        plan = plan / plan.sum(1, keepdim=True).clamp(min=1)
        plan = plan * (mass / plan.sum())
    return plan
