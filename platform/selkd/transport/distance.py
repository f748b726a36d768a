"""Transport between predictions over two label spaces that share one ground cost."""

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from selkd.transport.iterate import KERNEL
from selkd.transport.problem import RowsAndColumns
from selkd.transport.shared import Pairs, kernel_of, regularised_value, scaled, sharp_adjoint, sharp_cost, value_adjoint
from selkd.transport.solve import solve, warn

Kind = Literal["sharp", "regularised", "debiased"]
CHUNK = 2**22  # plan entries held at once where no kernel can be shared


def transport_distance(
    p: Tensor,
    q: Tensor,
    cost: Tensor,
    epsilon: float,
    kind: Kind = "sharp",
    *,
    within: tuple[Tensor, Tensor] | None = None,
    tolerance: float = 1e-6,
    max_iterations: int = 1000,
) -> Tensor:
    """Distance [B] between distributions p [B, K1] and q [B, K2] under a ground cost [K1, K2].

    `sharp` is <P, C>, `regularised` adds -epsilon H(P), `debiased` is the Sinkhorn divergence
    W(p, q) - W(p, p) / 2 - W(q, q) / 2 of regularised values, with the costs `within` each label set
    ([K1, K1], [K2, K2]; Feydy et al., 2019). Differentiable in p, q (along their total) and cost; [B, K1, K2] is never
    held whole. Solved in float64 where one kernel serves all rows; second derivatives solve row by row.
    """
    if kind not in ("sharp", "regularised", "debiased"):
        raise ValueError(f"kind must be sharp, regularised or debiased, not {kind!r}")
    if not (epsilon > 0 and math.isfinite(epsilon)):
        raise ValueError(f"epsilon must be positive and finite, not {epsilon}")

    def distance(left: Tensor, right: Tensor, between: Tensor) -> Tensor:
        _check(left, right, between)
        way = (epsilon, kind == "sharp", tolerance, max_iterations)
        if float(between.detach().max() - between.detach().min()) <= KERNEL * epsilon:
            return _Shared.apply(left, right, between, *way)  # pyright: ignore[reportReturnType]
        return _one_by_one(left, right, between, *way)

    if kind != "debiased":
        return distance(p, q, cost)
    if within is None:
        raise ValueError("the debiased distance needs `within`, the costs inside each label set")
    return distance(p, q, cost) - (distance(p, p, within[0]) + distance(q, q, within[1])) / 2


def _check(p: Tensor, q: Tensor, cost: Tensor) -> None:
    for name, value in (("p", p), ("q", q), ("cost", cost)):
        if value.dim() != 2 or not value.numel() or not value.is_floating_point():
            raise ValueError(f"{name} must be floating and of two dimensions, not {value.dtype} {list(value.shape)}")
        if not bool(value.isfinite().all()) or (name != "cost" and bool((value < 0).any())):
            raise ValueError(
                f"{name} {list(value.shape)} must be finite{'' if name == 'cost' else ' and not negative'}"
            )
    if len(p) != len(q):
        raise ValueError(f"p {list(p.shape)} and q {list(q.shape)} must have as many rows")
    if cost.shape != (p.shape[1], q.shape[1]):
        raise ValueError(f"cost {list(cost.shape)} must be {[p.shape[1], q.shape[1]]}, one entry a pair of categories")
    given, wanted = p.detach().double().sum(1), q.detach().double().sum(1)
    if not bool(((given - wanted).abs() < 1e-5 * wanted).all()):
        raise ValueError(f"p {list(p.shape)} and q {list(q.shape)} must have the same positive total in each row")


def _one_by_one(
    p: Tensor, q: Tensor, cost: Tensor, epsilon: float, sharp: bool, tolerance: float, steps: int
) -> Tensor:
    """A plan for every row, in chunks that are solved again for the backward pass instead of kept."""

    def worth(left: Tensor, right: Tensor, between: Tensor) -> Tensor:
        right = right * (left.sum(1) / right.sum(1)).detach()[:, None]
        plan = solve(
            -between.expand(len(left), *between.shape),
            RowsAndColumns(right, left),
            epsilon=epsilon,
            tolerance=tolerance,
            max_iterations=steps,
        )
        return plan.cost if sharp else plan.value

    chunk = max(1, CHUNK // cost.numel())
    run: Callable[..., Any] = lambda *parts: checkpoint(worth, *parts, use_reentrant=False)  # noqa: E731
    return torch.cat([run(a, b, cost) for a, b in zip(p.split(chunk), q.split(chunk), strict=True)])


class _Shared(torch.autograd.Function):
    """All rows with one kernel; the backward pass costs one more batch of linear solves, or none if regularised."""

    @staticmethod
    def forward(ctx: Any, p: Tensor, q: Tensor, cost: Tensor, epsilon: float, sharp: bool, *limits: Any) -> Tensor:
        wide_p, wide_q, wide = p.double(), q.double(), cost.double()
        wide_q = wide_q * (wide_p.sum(1) / wide_q.sum(1))[:, None]
        found, error = scaled(wide_p, wide_q, wide, epsilon, tolerance=limits[0], steps=limits[1])
        if bool((error > limits[0]).any()):
            warn()
        ctx.save_for_backward(p, q, cost, found.u, found.v)
        ctx.save_for_forward(p, q, cost, found.u, found.v)
        ctx.set_materialize_grads(False)
        ctx.way = (epsilon, sharp, *limits)
        value = sharp_cost(found, wide) if sharp else regularised_value(found, wide, epsilon)
        return value.to(p.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        if grads[0] is None:
            return (None,) * 7
        p, q, cost, u, v = ctx.saved_tensors
        epsilon, sharp, *limits = ctx.way
        if torch.is_grad_enabled():
            value = _one_by_one(p, q, cost, epsilon, sharp, *limits)
            leaves = [part for part in (p, q, cost) if part.requires_grad]
            found = iter(torch.autograd.grad(value, leaves, grads[0], create_graph=True))
            return *(next(found) if part.requires_grad else None for part in (p, q, cost)), None, None, None, None
        from_p, from_q, from_cost = _adjoint(u, v, cost, epsilon, sharp, grads[0])
        return from_p.to(p.dtype), from_q.to(q.dtype), from_cost.to(cost.dtype), None, None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        """Every row's value depends on its own p and q alone, so that one adjoint has the slopes of all."""
        p, _, cost, u, v = ctx.saved_tensors
        assert tangents[2] is None, "a cost that moves has a backward mode only"
        epsilon, sharp, *_ = ctx.way
        slopes = _adjoint(u, v, cost, epsilon, sharp, torch.ones_like(u[:, 0]))[:2]
        pairs = zip(slopes, tangents[:2], strict=True)
        moved = [(slope * change).sum(1) for slope, change in pairs if change is not None]
        return torch.stack(moved).sum(0).to(p.dtype)


def _adjoint(u: Tensor, v: Tensor, cost: Tensor, epsilon: float, sharp: bool, weight: Tensor) -> tuple[Tensor, ...]:
    """Slopes of the weighed sum of values in p, q and cost, in float64."""
    wide = cost.double()
    adjoint = sharp_adjoint if sharp else value_adjoint
    return adjoint(Pairs(u, v, kernel_of(wide, epsilon)), wide, epsilon, weight.double())
