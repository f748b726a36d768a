"""Kernel iterations: alternate row and column scalings of exp(S / eps), two matrix-vector products each.

Sinkhorn (1967); Cuturi (2013). The kernel is taken at the given potentials (they are absorbed), each row's largest
entry 1, so neither scaling overflows while the range of S / eps stays within the format.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from selkd.transport.laplacian import apply, apply_transposed

BLOCK = 8  # iterations between two looks at the error


class Scaled(NamedTuple):
    """Column potentials over epsilon, their column error, and the iterations spent, per item."""

    gamma: Tensor  # [K] or [N, K]
    error: Tensor  # [] or [N]
    iterations: Tensor  # [] or [N], int64


def scale(
    logits: Tensor, row_mass: Tensor, col_mass: Tensor, gamma: Tensor, *, tolerance: float, steps: int, patience: float
) -> Scaled:
    """Iterate on logits [B, K] or [N, B, K] until the column error of each item is within tolerance.

    An item that is done is frozen. Returns early when more than half of a batch is done, so that the caller can drop
    those, and when the decay of the error foretells more than `patience` further iterations.
    """
    kernel = logits + gamma[..., None, :]
    kernel = kernel.sub_(kernel.amax(-1, keepdim=True)).exp_()
    total = row_mass.sum(-1)
    found = scaling = last = sums = torch.ones_like(col_mass)
    error = torch.full_like(total, torch.inf)
    needed = torch.zeros_like(total, dtype=torch.int64)
    before, done = math.inf, 0
    while True:
        block = min(BLOCK if done else 2, steps - done)
        for _ in range(block):
            last = scaling
            sums = apply_transposed(kernel, row_mass / apply(kernel, scaling))
            scaling = col_mass / sums
        done += block
        open_ = error > tolerance
        found = torch.where(open_[..., None], last, found)
        error = torch.where(open_, (last * sums - col_mass).abs().sum(-1) / total, error)
        needed = torch.where(open_, done, needed)
        worst = float(error.max())
        if worst <= tolerance or done >= steps or not math.isfinite(worst):
            break
        rate = math.log(before / worst) / block if before > worst else 0.0
        if done > 2 and rate * patience < math.log(worst / tolerance):
            break
        if error.dim() and 2 * int((error <= tolerance).sum()) > len(error):
            break
        before = worst
    return Scaled(gamma + found.log(), error, needed)
