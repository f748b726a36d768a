"""Derivatives of a plan with given marginals, by the implicit function theorem.

L = log P = (S + f + g) / eps with P 1 = a, P^T 1 = b. Moving everything a little,

    dL = E - (x_i + y_k),   E = dS / eps - L deps / eps,   A(P) (x, y) = (sum_k P E - da, sum_i P E - db)

and, because A is symmetric, the adjoint of a gradient G is R = G - P (x_i + y_k) with A(P) (x, y) = the marginals of G:
R / eps for the scores, x for a, y for b, - sum R L / eps for epsilon. Both rules are ordinary differentiable operations
on the plan, so that every further derivative follows. The number of iterations plays no part.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from selkd.transport.laplacian import fields, followed, quick_signature

Run = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, ...]]


def implicit(
    run: Run, scores: Tensor, row_mass: Tensor, col_mass: Tensor, epsilon: Tensor, *, empty: bool
) -> tuple[Tensor, ...]:
    """`run`'s outputs, of which the first, the log plan, carries derivatives; `empty`: some mass is 0."""
    if not followed(scores, row_mass, col_mass, epsilon):
        return run(scores, row_mass, col_mass, epsilon)
    return _Implicit.apply(run, empty, scores, row_mass, col_mass, epsilon)  # pyright: ignore[reportReturnType]


class _Implicit(torch.autograd.Function):
    @staticmethod
    @quick_signature
    def forward(
        run: Run, empty: bool, scores: Tensor, row_mass: Tensor, col_mass: Tensor, epsilon: Tensor
    ) -> tuple[Tensor, ...]:
        return run(scores, row_mass, col_mass, epsilon)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        ctx.empty = inputs[1]
        ctx.save_for_backward(output[0], inputs[5])
        ctx.save_for_forward(output[0], inputs[5])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        if grads[0] is None:
            return None, None, None, None, None, None
        log, epsilon = ctx.saved_tensors
        force = torch.where(log == -torch.inf, 0.0, grads[0]) if ctx.empty else grads[0]
        plan = log.exp()
        x, y = fields(plan, force.sum(-1), force.sum(-2), ctx.empty)
        rest = torch.addcmul(force, plan, _outer(x, y), value=-1) / epsilon[..., None, None]
        *_, rows, cols, eps = ctx.needs_input_grad
        slope = -(rest * _finite(log, ctx.empty)).sum((-2, -1)) if eps else None
        return None, None, rest, x if rows else None, y if cols else None, slope

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        log, epsilon = ctx.saved_tensors
        _, _, scores, rows, cols, eps = tangents
        plan, change = log.exp(), torch.zeros_like(log)
        if scores is not None:
            change = change + scores / epsilon[..., None, None]
        if eps is not None:
            change = change - _finite(log, ctx.empty) * (eps / epsilon)[..., None, None]
        moved = plan * change
        u, v = moved.sum(-1), moved.sum(-2)
        x, y = fields(plan, u if rows is None else u - rows, v if cols is None else v - cols, ctx.empty)
        change = change - _outer(x, y)
        return torch.where(log == -torch.inf, 0.0, change) if ctx.empty else change, None, None, None, None


def _finite(log: Tensor, empty: bool) -> Tensor:
    """L with 0 in place of -inf, so that 0 log 0 = 0."""
    return torch.where(log == -torch.inf, 0.0, log) if empty else log


def _outer(x: Tensor, y: Tensor) -> Tensor:
    return x[..., :, None] + y[..., None, :]
