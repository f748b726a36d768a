"""Many pairs of distributions under one ground cost: one kernel, matrix products, no [N, K1, K2] anywhere.

With E = exp(-C / eps), a pair's plan is P = diag(u) E diag(v), so every sum over plans that values and first
derivatives need is a product with E or E * C. The adjoint of <P, C> is that of `implicit` with the force G = P * C,
and its linear systems are solved by conjugate gradients that apply E.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from selkd.transport.iterate import Iteration

STEPS = 500  # of conjugate gradients
QUICK = 200  # kernel iterations, before a pair is given to Newton
CHUNK = 2**22  # plan entries held at once
LOOK = 8  # iterations between two looks at the errors
ROUNDING = 1e-16  # share of a sum that its last digit is


class Pairs(NamedTuple):
    """Scalings u [N, K1] and v [N, K2] of the kernel [K1, K2], rows exact."""

    u: Tensor
    v: Tensor
    kernel: Tensor


def scaled(p: Tensor, q: Tensor, cost: Tensor, epsilon: float, *, tolerance: float, steps: int) -> tuple[Pairs, Tensor]:
    """Scale one float64 kernel for all pairs (p [N, K1], q [N, K2]); those that are done leave the iteration.

    Also returns the column error of each pair.
    """
    kernel, quick = kernel_of(cost, epsilon), min(QUICK, steps)
    v, error = torch.ones_like(q), torch.full_like(p[:, 0], torch.inf)
    open_ = torch.arange(len(p), device=p.device)
    a, b, scaling = p, q, v
    total, done = p.sum(-1), 0
    while len(open_) and done < quick:
        last = sums = scaling
        for _ in range(min(LOOK, quick - done)):
            last = scaling
            sums = (a / (last @ kernel.T)) @ kernel
            scaling = b / sums
        done += LOOK
        latest = (last * sums - b).abs().sum(-1) / total[open_]
        v[open_], error[open_] = last, latest
        left = latest > tolerance
        open_, a, b, scaling = open_[left], a[left], b[left], scaling[left]
    if steps > quick and len(open_):
        for part in open_.split(max(1, CHUNK // cost.numel())):
            scores = -cost.expand(len(part), *cost.shape)
            ratio = float(cost.max() - cost.min()) / epsilon
            plan = Iteration(
                tolerance, steps - quick, ratio, scores.amax(-1), epsilon * v[part].log().nan_to_num(neginf=0)
            )
            _, potential, _, _, left_over = plan(scores, p[part], q[part], cost.new_tensor(epsilon).expand(len(part)))
            v[part], error[part] = (potential / epsilon).exp(), left_over
    return Pairs(p / (v @ kernel.T), v, kernel), error


def kernel_of(cost: Tensor, epsilon: float) -> Tensor:
    """E, its largest entry one."""
    return (-(cost - cost.min()) / epsilon).exp()


def sharp_cost(found: Pairs, cost: Tensor) -> Tensor:
    """<P_n, C> for every pair."""
    return (found.u * (found.v @ (found.kernel * cost).T)).sum(1)


def regularised_value(found: Pairs, cost: Tensor, epsilon: float) -> Tensor:
    """<P_n, C> - epsilon H(P_n) = epsilon <P_n, log P_n + C / epsilon - 1>; C cancels but for the kernel's shift."""
    u, v, kernel = found
    rows, cols = u * (v @ kernel.T), v * (u @ kernel)
    value = (rows * (_log(u) - 1)).sum(1) + (cols * _log(v)).sum(1)
    return epsilon * value + cost.min() * rows.sum(1)


def value_adjoint(found: Pairs, cost: Tensor, epsilon: float, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the weighted regularised values: the potentials, and the weighted plans (envelope theorem)."""
    u, v, kernel = found
    x, y = _orthogonal(epsilon * _log(u), epsilon * _log(v), u > 0, v > 0)
    weight = weight[:, None]
    return weight * x, weight * y, kernel * ((weight * u).T @ v)


def sharp_adjoint(found: Pairs, cost: Tensor, epsilon: float, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of sum_n weight_n <P_n, C> in p [N, K1], q [N, K2] and C [K1, K2]."""
    u, v, kernel = found
    priced = kernel * cost
    x, y = _fields(found, u * (v @ priced.T), v * (u @ priced))
    left, right = weight[:, None] * u, v
    moved = cost * (left.T @ right) - (left * x).T @ right - left.T @ (right * y)
    return weight[:, None] * x, weight[:, None] * y, kernel * (left.T @ right - moved / epsilon)


def _fields(found: Pairs, rows: Tensor, cols: Tensor) -> tuple[Tensor, Tensor]:
    """(x, y) with A(P_n) (x, y) = (rows, cols) for every pair; see `laplacian`."""
    u, v, kernel = found
    row_mass, col_mass = u * (v @ kernel.T), v * (u @ kernel)
    sources, sinks = row_mass > 0, col_mass > 0
    inverse, weight = torch.where(sources, 1 / row_mass, 0.0), torch.where(sinks, 1 / col_mass, 0.0)

    def reached(y: Tensor) -> Tensor:
        return v * ((u * inverse * rows_of(y)) @ kernel)

    def rows_of(y: Tensor) -> Tensor:
        return u * ((v * y) @ kernel.T)

    def balanced(residual: Tensor) -> Tensor:
        """Without what rounding puts along a common potential, which no step can take away."""
        return residual - col_mass * (residual.sum(-1, keepdim=True) / total)

    total = col_mass.sum(-1, keepdim=True)
    y, residual = torch.zeros_like(cols), balanced(cols - v * ((u * inverse * rows) @ kernel))
    direction = weight * residual
    size = (residual * direction).sum(-1, keepdim=True)
    target = torch.maximum(1e-26 * size, ROUNDING**2 * (weight * cols**2).sum(-1, keepdim=True))
    for step in range(STEPS):
        if step % LOOK == 0 and bool((size <= target).all()):
            break
        image = col_mass * direction - reached(direction)
        curvature = (direction * image).sum(-1, keepdim=True)
        length = torch.where((curvature > 0) & (size > target), size / curvature, 0.0)
        y, residual = y + length * direction, balanced(residual - length * image)
        scaled = weight * residual
        new = (residual * scaled).sum(-1, keepdim=True)
        direction, size = scaled + torch.where(size > 0, new / size, 0.0) * direction, new
    x = inverse * (rows - rows_of(y))
    return _orthogonal(x, y, sources, sinks)


def _orthogonal(x: Tensor, y: Tensor, sources: Tensor, sinks: Tensor) -> tuple[Tensor, Tensor]:
    """The same x_i + y_k with equal sums of x and y: the part along a common total."""
    count = sources.sum(-1, keepdim=True) + sinks.sum(-1, keepdim=True)
    shift = (x.sum(-1, keepdim=True) - y.sum(-1, keepdim=True)) / count
    return torch.where(sources, x - shift, 0.0), torch.where(sinks, y + shift, 0.0)


def _log(scaling: Tensor) -> Tensor:
    return torch.where(scaling > 0, scaling, 1.0).log()
