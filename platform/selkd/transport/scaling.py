"""Kernel iterations: alternate row and column scalings of exp(S / eps), two matrix-vector products each.

Sinkhorn (1967); Cuturi (2013). The kernel is taken at the given potentials (they are absorbed), each row's largest
entry 1, so neither scaling overflows while the range of S / eps stays within the format.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from selkd.transport.laplacian import apply, apply_transposed

LOOK = 16  # most iterations between two looks at the error
APPROACH = 40  # iterations that are made in any case: Newton is quick only near the solution


class Scaled(NamedTuple):
    """Potentials over epsilon, rows exact; the column error, and the iterations spent, per item."""

    alpha: Tensor  # [..., B]
    gamma: Tensor  # [..., K]
    error: Tensor  # [...]
    iterations: Tensor  # [...], int64


def scale(
    logits: Tensor,
    row_mass: Tensor,
    col_mass: Tensor,
    gamma: Tensor | None,
    *,
    tolerance: float,
    steps: int,
    patience: float,
) -> Scaled:
    """Iterate on logits [B, K] or [N, B, K], largest entry 0 in each row, until each item's column error is small.

    An item that is done is frozen. Returns early when at least half of a batch is done, so that the caller can drop
    those, and when the decay of the error foretells more than `patience` further iterations.
    """
    top = None
    if gamma is None:
        kernel = logits.exp()
    else:
        kernel = logits + gamma[..., None, :]
        top = kernel.amax(-1, keepdim=True)
        kernel.sub_(top).exp_()
    total = row_mass.sum(-1)
    batched = total.dim() > 0
    found = scaling = last = sums = torch.ones_like(col_mass)
    error = total.new_full(total.shape, torch.inf)
    needed = torch.zeros_like(total, dtype=torch.int64)
    before, done, block = math.inf, 0, min(2, steps)
    while True:
        for _ in range(block):
            last = scaling
            sums = apply_transposed(kernel, row_mass / apply(kernel, last))
            scaling = col_mass / sums
        done += block
        latest = (last * sums).sub_(col_mass).abs_().sum(-1).div_(total)
        if batched:
            open_ = error > tolerance
            found, error = torch.where(open_[:, None], last, found), torch.where(open_, latest, error)
            needed.masked_fill_(open_, done)
        else:
            found, error = last, latest
        worst = float(error.max())
        if not worst > tolerance or done >= steps:
            break
        decay = math.log(before / worst) / block if worst < before < math.inf else 0.0
        if done >= APPROACH and decay * patience < math.log(worst / max(tolerance, 1e-300)):
            break
        if batched and 2 * int((error <= tolerance).sum()) >= len(error):
            break
        ahead = math.log(worst / max(tolerance, 1e-300)) / decay if decay else 2
        before, block = worst, max(1, min(LOOK, math.ceil(ahead), steps - done))
    alpha, beta = (row_mass / apply(kernel, found)).log(), found.log()
    if gamma is not None and top is not None:
        alpha, beta = alpha - top.squeeze(-1), beta + gamma
    return Scaled(alpha, beta, error, needed if batched else needed + done)
