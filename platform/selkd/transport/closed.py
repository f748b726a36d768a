"""The two plans that need no iteration: row masses given (softmax), and rows of at most one with a total given."""

import torch
from torch import Tensor

from selkd.transport.problem import Problem

WIDEN = 1e4  # above this range over epsilon, float32 problems are solved in float64


def rows_log(problem: Problem) -> Tensor:
    """log P = log a + log softmax(S / eps)."""
    log = (_widened(problem) / problem.epsilon[..., None, None]).log_softmax(-1)
    return (log + _log(problem.row_mass)[..., None]).to(problem.scores.dtype)


def partial_log(problem: Problem) -> Tensor:
    """log P = log rho + log softmax(S / eps) with rho_i = min(1, t exp(l_i)), l_i = LSE_k(S_ik / eps), sum rho = m.

    With A rows saturated, log t = log(m - A) - LSE of the other l; A is the least number for which no other row
    exceeds one. Derived in docs/transport.md. `l` is one number a row, so it is always kept in float64.
    """
    assert problem.mass is not None
    mass = problem.mass[..., None].double()
    scaled = _widened(problem) / problem.epsilon[..., None, None]
    top = scaled.detach().amax(-1, keepdim=True)
    shifted = scaled - top
    inner = shifted.logsumexp(-1, keepdim=True)
    level = (inner.double() + top.double()).squeeze(-1)
    full = _saturated(level.detach(), mass.detach())
    left = mass - full.sum(-1, keepdim=True)
    log_t = _log(left) - torch.where(full, -torch.inf, level).logsumexp(-1, keepdim=True)
    log_rho = torch.where(mass == 0, -torch.inf, torch.where(full, 0.0, log_t + level))
    return (shifted - inner + log_rho[..., None]).to(problem.scores.dtype)


def _widened(problem: Problem) -> Tensor:
    return problem.scores.double() if problem.ratio > WIDEN else problem.scores


def _saturated(level: Tensor, mass: Tensor) -> Tensor:
    """Mask [..., B] of the rows that give all they have."""
    ordered, order = level.sort(dim=-1, descending=True)
    rest = ordered.flip(-1).logcumsumexp(-1).flip(-1)
    count = torch.arange(level.shape[-1], device=level.device)
    fits = (mass - count).clamp(min=0).log() - rest + ordered <= 1e-12
    saturated = fits.to(torch.int8).argmax(-1, keepdim=True)
    return torch.zeros_like(fits).scatter(-1, order, (count < saturated).expand_as(fits))


def _log(mass: Tensor) -> Tensor:
    """log with the value -inf and the gradient 0 at 0."""
    empty = mass == 0
    return torch.where(empty, -torch.inf, torch.where(empty, 1.0, mass).log())
