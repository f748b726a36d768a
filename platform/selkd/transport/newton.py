"""Damped Newton ascent of the concave semi-dual, for problems on which the kernel iteration is slow.

With rows exact for every gamma (the column potentials over epsilon), the dual is

    D(gamma) = <b, gamma> - sum_i a_i LSE_k(S_ik / eps + gamma_k),   gradient b - c,   -D'' = diag(c) - P^T diag(1/a) P

where c are the column sums of the plan P (Cuturi and Peyre, 2016). The Hessian is the system of `laplacian`.
"""

import torch
from torch import Tensor

from selkd.transport.laplacian import factorised
from selkd.transport.scaling import Scaled

REACH = 8.0  # longest first move of a column potential, in units of epsilon
HALVINGS = 12


def newton(
    logits: Tensor, row_mass: Tensor, col_mass: Tensor, gamma: Tensor, *, tolerance: float, steps: int
) -> Scaled:
    """Ascend from gamma [N, K] on logits [N, B, K] until each item's column error is within tolerance."""
    empty = col_mass == 0
    gamma = torch.where(empty, -torch.inf, gamma)
    inverse = torch.where(row_mass > 0, 1 / row_mass, 0.0)
    total = row_mass.sum(-1)
    plan, dual = _ascended(logits, row_mass, col_mass, gamma)
    sums = plan.sum(-2)
    error = (sums - col_mass).abs().sum(-1) / total
    needed = torch.zeros_like(total, dtype=torch.int64)
    stuck = torch.zeros_like(total, dtype=torch.bool)
    for _ in range(steps):
        open_ = ((error > tolerance) & ~stuck).nonzero().flatten()
        if not len(open_):
            break
        part = slice(None) if len(open_) == len(error) else open_
        force = col_mass[part] - sums[part]
        move = factorised(plan[part], inverse[part], force)
        move = torch.where(empty[part], 0.0, move - move.mean(-1, keepdim=True))
        length = (REACH / move.abs().amax(-1).clamp(min=1e-300)).clamp(max=1.0)
        slope = (force * move).sum(-1)
        better = torch.zeros_like(slope, dtype=torch.bool)
        tried = gamma[part], plan[part], dual[part], sums[part], error[part]
        new = tried
        for _ in range(HALVINGS):
            trial = tried[0] + length[:, None] * move
            new_plan, new_dual = _ascended(logits[part], row_mass[part], col_mass[part], trial)
            new_sums = new_plan.sum(-2)
            new_error = (new_sums - col_mass[part]).abs().sum(-1) / total[part]
            new = trial, new_plan, new_dual, new_sums, new_error
            better = (new_dual >= tried[2] + 1e-4 * length * slope) | (new_error < 0.5 * tried[4])
            if bool(better.all()):
                break
            length = torch.where(better, length, length / 4)
        stuck[part] |= ~better
        gamma, plan, dual, sums, error = (
            _placed(whole, part, _chosen(better, mine, old))
            for whole, mine, old in zip((gamma, plan, dual, sums, error), new, tried, strict=True)
        )
        needed[part] += 1
    return Scaled(gamma, error, needed)


def _ascended(logits: Tensor, row_mass: Tensor, col_mass: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
    """The plan with exact rows at gamma, and the dual's value."""
    plan = logits + gamma[:, None]
    top = plan.amax(-1, keepdim=True)
    plan = plan.sub_(top).exp_()
    sums = plan.sum(-1)
    finite = torch.where(col_mass > 0, gamma, 0.0)
    dual = (col_mass * finite).sum(-1) - (row_mass * (top.squeeze(-1) + sums.log())).sum(-1)
    return plan.mul_((row_mass / sums)[..., None]), dual


def _chosen(mask: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return new if bool(mask.all()) else torch.where(mask.view(-1, *[1] * (new.dim() - 1)), new, old)


def _placed(whole: Tensor, part: Tensor | slice, values: Tensor) -> Tensor:
    if isinstance(part, slice):
        return values
    return whole.index_copy(0, part, values)
