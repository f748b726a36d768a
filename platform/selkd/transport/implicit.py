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

from selkd.transport.laplacian import fields

Run = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, ...]]


def implicit(run: Run, scores: Tensor, row_mass: Tensor, col_mass: Tensor, epsilon: Tensor) -> tuple[Tensor, ...]:
    """`run`'s outputs, of which the first, the log plan, carries derivatives."""
    return _Implicit.apply(run, scores, row_mass, col_mass, epsilon)  # pyright: ignore[reportReturnType]


class _Implicit(torch.autograd.Function):
    @staticmethod
    def forward(run: Run, scores: Tensor, row_mass: Tensor, col_mass: Tensor, epsilon: Tensor) -> tuple[Tensor, ...]:
        return run(scores, row_mass, col_mass, epsilon)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(output[0], inputs[4])
        ctx.save_for_forward(output[0], inputs[4])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        if grads[0] is None:
            return None, None, None, None, None
        log, epsilon = ctx.saved_tensors
        plan, finite = _masked(log)
        force = torch.where(log == -torch.inf, 0.0, grads[0])
        x, y = fields(plan, force.sum(-1), force.sum(-2))
        rest = (force - plan * (x[..., :, None] + y[..., None, :])) / epsilon[..., None, None]
        needs = ctx.needs_input_grad
        return (
            None,
            rest,
            x if needs[2] else None,
            y if needs[3] else None,
            -_total(rest * finite) if needs[4] else None,
        )

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        log, epsilon = ctx.saved_tensors
        plan, finite = _masked(log)
        _, scores, rows, cols, eps = tangents
        change = torch.zeros_like(log)
        if scores is not None:
            change = change + scores / epsilon[..., None, None]
        if eps is not None:
            change = change - finite * (eps / epsilon)[..., None, None]
        moved = plan * change
        u, v = moved.sum(-1), moved.sum(-2)
        x, y = fields(plan, u if rows is None else u - rows, v if cols is None else v - cols)
        change = torch.where(log == -torch.inf, 0.0, change - x[..., :, None] - y[..., None, :])
        return change, None, None, None, None


def _masked(log: Tensor) -> tuple[Tensor, Tensor]:
    """P, and L with 0 in place of -inf, so that 0 log 0 = 0."""
    return log.exp(), torch.where(log == -torch.inf, 0.0, log)


def _total(entries: Tensor) -> Tensor:
    return entries.sum((-2, -1))
