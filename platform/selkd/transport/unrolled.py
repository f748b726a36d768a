"""The same plan with derivatives through every iteration: slow, memory grows, but nothing is assumed of convergence."""

import torch
from torch import Tensor


def unrolled(
    scores: Tensor, row_mass: Tensor, col_mass: Tensor, epsilon: Tensor, *, tolerance: float, steps: int, start: Tensor
) -> tuple[Tensor, ...]:
    """Log-sum-exp iterations from column potentials `start`; outputs as in `iterate`."""
    eps = epsilon[..., None]
    logits = scores / eps[..., None]
    log_a, log_b = _log(row_mass), _log(col_mass)
    total = row_mass.detach().sum(-1)
    gamma = torch.where(col_mass > 0, start / eps, -torch.inf)
    needed = torch.zeros_like(total, dtype=torch.int64)
    error = torch.full_like(total, torch.inf)
    log = logits
    for step in range(1, steps + 1):
        norm = (logits + gamma[..., None, :]).logsumexp(-1)
        alpha = log_a - norm
        log = logits + gamma[..., None, :] + alpha[..., None]
        open_ = error > tolerance
        latest = (log.detach().exp().sum(-2) - col_mass.detach()).abs().sum(-1) / total
        error, needed = torch.where(open_, latest, error), torch.where(open_, step, needed)
        if bool((error <= tolerance).all()) or step == steps:
            return log, (eps * gamma).detach(), error <= tolerance, needed, error
        reached = torch.where(row_mass[..., None] > 0, logits + alpha[..., None], -torch.inf).logsumexp(-2)
        gamma = torch.where((error > tolerance)[..., None], log_b - reached, gamma)
    raise AssertionError("at least one step is taken")


def _log(mass: Tensor) -> Tensor:
    empty = mass == 0
    return torch.where(empty, -torch.inf, torch.where(empty, 1.0, mass).log())
