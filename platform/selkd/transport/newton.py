"""Damped Newton ascent of the concave semi-dual, for problems on which the kernel iteration is slow.

With rows exact for every gamma (the column potentials over epsilon), the dual is

    D(gamma) = <b, gamma> - sum_i a_i LSE_k(S_ik / eps + gamma_k),   D' = b - c,   -D'' = diag(c) - P^T diag(1/a) P

where c are the column sums of the plan P (Cuturi and Peyre, 2016). -D'' is the system of `laplacian`.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from selkd.transport.laplacian import DENSE, conjugate_gradients, factorised
from selkd.transport.scaling import Scaled

REACH = 8.0  # longest first move of a column potential, in units of epsilon
HALVINGS = 12
FORCING = 0.05  # relative residual at which conjugate gradients have the direction
STEPS = 60  # of conjugate gradients, before the factorisation is taken after all


class _Point(NamedTuple):
    """Where an item stands, all with the leading dimension [N]."""

    alpha: Tensor
    gamma: Tensor
    plan: Tensor
    dual: Tensor
    force: Tensor  # b - c
    error: Tensor


class _Items(NamedTuple):
    """The problems of a batch, or of a part of it."""

    logits: Tensor
    row_mass: Tensor
    col_mass: Tensor

    def at(self, gamma: Tensor) -> _Point:
        plan = self.logits + gamma[:, None]
        top = plan.amax(-1, keepdim=True)
        plan = plan.sub_(top).exp_()
        sums = plan.sum(-1)
        norm = top.squeeze(-1) + sums.log()
        dual = (self.col_mass * gamma.clamp(min=-1e300)).sum(-1) - (self.row_mass * norm).sum(-1)
        plan = plan.mul_((self.row_mass / sums)[..., None])
        force = self.col_mass - plan.sum(-2)
        return _Point(self.row_mass.log() - norm, gamma, plan, dual, force, force.abs().sum(-1) / self.row_mass.sum(-1))

    def direction(self, point: _Point) -> Tensor:
        inverse = torch.where(self.row_mass > 0, 1 / self.row_mass, 0.0)
        if point.plan.shape[-1] > DENSE:
            sums = self.col_mass - point.force
            move = conjugate_gradients(point.plan, inverse, sums, point.force, tolerance=FORCING, steps=STEPS)
            if move is not None:
                return move
        return factorised(point.plan, inverse, point.force)


def newton(
    logits: Tensor, row_mass: Tensor, col_mass: Tensor, gamma: Tensor, *, tolerance: float, steps: int
) -> Scaled:
    """Ascend from gamma [N, K] on logits [N, B, K] until each item's column error is within tolerance."""
    items = _Items(logits, row_mass, col_mass)
    whole = items.at(torch.where(col_mass > 0, gamma, -torch.inf))
    needed = torch.zeros(len(gamma), dtype=torch.int64, device=gamma.device)
    stuck = torch.zeros_like(needed, dtype=torch.bool)
    for _ in range(steps):
        open_ = (whole.error > tolerance) & ~stuck
        if not bool(open_.any()):
            break
        if bool(open_.all()):
            whole, failed = _step(items, whole)
            needed += 1
            stuck = failed
        else:
            part = open_.nonzero().flatten()
            new, failed = _step(_Items(*(t[part] for t in items)), _Point(*(t[part] for t in whole)))
            whole = _Point(*(t.index_copy_(0, part, n) for t, n in zip(whole, new, strict=True)))
            needed[part] += 1
            stuck[part] = failed
    return Scaled(whole.alpha, whole.gamma, whole.error, needed)


def _step(items: _Items, old: _Point) -> tuple[_Point, Tensor]:
    """One damped step of every item, and which items found none that helps."""
    move = items.direction(old)
    slope = (old.force * move).sum(-1)
    length = (REACH / (move.amax(-1) - move.amin(-1)).clamp(min=1e-300)).clamp(max=1.0)
    new, good = old, torch.zeros_like(slope, dtype=torch.bool)
    for _ in range(HALVINGS):
        new = items.at(old.gamma + length[:, None] * move)
        good = (new.dual >= old.dual + 1e-4 * length * slope) | (new.error < 0.5 * old.error)
        if bool(good.all()):
            return new, ~good
        length = torch.where(good, length, length / 4)
    kept = (torch.where(good.view(-1, *[1] * (n.dim() - 1)), n, o) for n, o in zip(new, old, strict=True))
    return _Point(*kept), ~good
