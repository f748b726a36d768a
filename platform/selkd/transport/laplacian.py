"""The linear system behind every derivative of a plan, and behind Newton's step.

For a plan P [..., B, K], find row and column fields x, y such that P_ik (x_i + y_k) has given marginals:

    A(P) (x, y) = (u, v),    A(P) = [diag(P 1), P; P^T, diag(P^T 1)]

A is symmetric and singular along (1, -1) (mass may move between x and y), so rhs and fields are kept orthogonal to it;
rows and columns without mass have field 0. Eliminating x leaves a graph Laplacian over columns.
"""

import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")

DENSE = 192  # columns up to which a factorisation is cheaper than conjugate gradients
STEPS = 100  # of conjugate gradients, before the factorisation is taken after all


def quick_signature(function: Callable[P, R]) -> Callable[P, R]:
    """Remember a function's signature, which torch otherwise works out anew at each call: a third of a small solve."""
    function.__signature__ = inspect.signature(function)  # pyright: ignore[reportFunctionMemberAccess]
    return function


def fields(plan: Tensor, rows: Tensor, cols: Tensor) -> tuple[Tensor, Tensor]:
    """(x, y) = A(P)^+ (rows, cols), differentiable to any order in reverse and forward mode."""
    return _Fields.apply(plan, rows, cols)  # pyright: ignore[reportReturnType]


class _Fields(torch.autograd.Function):
    """A is symmetric, so the adjoint of its solution is another solution with the same plan."""

    @staticmethod
    @quick_signature
    def forward(plan: Tensor, rows: Tensor, cols: Tensor) -> tuple[Tensor, Tensor]:
        return _solution(plan, rows, cols)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(inputs[0], *output)
        ctx.save_for_forward(inputs[0], *output)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        plan, x, y = ctx.saved_tensors
        p, q = fields(plan, *grads)
        return -_outer(p, q) * _outer(x, y), p, q

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        plan, x, y = ctx.saved_tensors
        moved = tangents[0] * _outer(x, y)
        return fields(plan, tangents[1] - moved.sum(-1), tangents[2] - moved.sum(-2))


def _outer(x: Tensor, y: Tensor) -> Tensor:
    return x[..., :, None] + y[..., None, :]


def _solution(plan: Tensor, rows: Tensor, cols: Tensor) -> tuple[Tensor, Tensor]:
    row_mass, col_mass = plan.sum(-1), plan.sum(-2)
    sources, sinks = row_mass > 0, col_mass > 0
    inverse = torch.where(sources, 1 / row_mass, 0.0)
    size = (sources.sum(-1, keepdim=True) + sinks.sum(-1, keepdim=True)).clamp(min=1)
    rows, cols = torch.where(sources, rows, 0.0), torch.where(sinks, cols, 0.0)
    surplus = (rows.sum(-1, keepdim=True) - cols.sum(-1, keepdim=True)) / size
    rows, cols = torch.where(sources, rows - surplus, 0.0), torch.where(sinks, cols + surplus, 0.0)
    rhs = cols - apply_transposed(plan, inverse * rows)
    y = None
    if plan.shape[-1] > DENSE:
        y = conjugate_gradients(plan, inverse, col_mass, rhs, tolerance=8 * torch.finfo(plan.dtype).eps, steps=STEPS)
    if y is None:
        y = factorised(plan, inverse, rhs)
    x = inverse * (rows - apply(plan, y))
    shift = (x.sum(-1, keepdim=True) - y.sum(-1, keepdim=True)) / size
    return torch.where(sources, x - shift, 0.0), torch.where(sinks, y + shift, 0.0)


def apply(plan: Tensor, y: Tensor) -> Tensor:
    """P y."""
    return torch.mv(plan, y) if plan.dim() == 2 else (plan @ y[..., None]).squeeze(-1)


def apply_transposed(plan: Tensor, x: Tensor) -> Tensor:
    """P^T x."""
    return torch.mv(plan.T, x) if plan.dim() == 2 else (x[..., None, :] @ plan).squeeze(-2)


def factorised(plan: Tensor, inverse: Tensor, rhs: Tensor) -> Tensor:
    """y with (diag(P^T 1) - P^T diag(inverse) P) y = rhs, by Cholesky in float64.

    The matrix is a Laplacian: its diagonal is summed from the off-diagonal weights, so that nothing cancels where
    columns hardly communicate, and one column is tied to zero.
    """
    wide = plan.double()
    weights = wide.mT @ (wide * inverse.double()[..., None])
    weights.diagonal(dim1=-2, dim2=-1).zero_()
    degree = weights.sum(-1)
    tied = degree + (degree <= 0)
    tied.scatter_add_(-1, degree.argmax(-1, keepdim=True), degree.amax(-1, keepdim=True))
    matrix = torch.diag_embed(tied) - weights
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if bool(failed.any()):
        ridge = 1e-14 * degree.amax(-1, keepdim=True) + torch.finfo(torch.float64).tiny
        factor = torch.linalg.cholesky_ex(torch.diag_embed(tied * (1 + 1e-12) + ridge) - weights)[0]
    return torch.cholesky_solve(rhs.double()[..., None], factor).squeeze(-1).to(rhs.dtype)


def conjugate_gradients(
    plan: Tensor, inverse: Tensor, col_mass: Tensor, rhs: Tensor, *, tolerance: float, steps: int
) -> Tensor | None:
    """The same y, matrix-free and preconditioned by the column masses; None if `steps` were not enough."""
    weight = torch.where(col_mass > 0, 1 / col_mass, 0.0)
    y, residual = torch.zeros_like(rhs), rhs
    direction = weight * residual
    size = (residual * direction).sum(-1, keepdim=True)
    target = tolerance**2 * size
    for step in range(steps):
        if step % 4 == 0 and bool((size <= target).all()):
            return y
        image = col_mass * direction - apply_transposed(plan, inverse * apply(plan, direction))
        curvature = (direction * image).sum(-1, keepdim=True)
        length = torch.where(curvature > 0, size / curvature, 0.0)
        y = y + length * direction
        residual = residual - length * image
        scaled = weight * residual
        new = (residual * scaled).sum(-1, keepdim=True)
        direction = scaled + torch.where(size > 0, new / size, 0.0) * direction
        size = new
    return y if bool((size <= target).all()) else None
