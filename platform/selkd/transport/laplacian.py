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
from torch.autograd import forward_ad

P = ParamSpec("P")
R = TypeVar("R")

DENSE = 192  # columns up to which a factorisation is cheaper than conjugate gradients
STEPS = 100  # of conjugate gradients, before the factorisation is taken after all


def quick_signature(function: Callable[P, R]) -> Callable[P, R]:
    """Remember a function's signature, which torch otherwise works out anew at each call: a third of a small solve."""
    function.__signature__ = inspect.signature(function)  # pyright: ignore[reportFunctionMemberAccess]
    return function


def followed(*inputs: Tensor) -> bool:
    """Whether a derivative, in either mode, may be asked of what is made from these."""
    if torch.is_grad_enabled() and any(part.requires_grad for part in inputs):
        return True
    return any(forward_ad.unpack_dual(part).tangent is not None for part in inputs)


def fields(plan: Tensor, rows: Tensor, cols: Tensor, empty: bool) -> tuple[Tensor, Tensor]:
    """(x, y) = A(P)^+ (rows, cols), differentiable to any order in both modes; `empty`: some sum of P may be 0."""
    if followed(plan, rows, cols):
        return _Fields.apply(plan, rows, cols, empty)  # pyright: ignore[reportReturnType]
    return _solution(plan, rows, cols, empty)


class _Fields(torch.autograd.Function):
    """A is symmetric, so the adjoint of its solution is another solution with the same plan."""

    @staticmethod
    @quick_signature
    def forward(plan: Tensor, rows: Tensor, cols: Tensor, empty: bool) -> tuple[Tensor, Tensor]:
        return _solution(plan, rows, cols, empty)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.empty = inputs[3]
        ctx.save_for_backward(inputs[0], *output)
        ctx.save_for_forward(inputs[0], *output)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        plan, x, y = ctx.saved_tensors
        p, q = fields(plan, grads[0], grads[1], ctx.empty)
        return -_outer(p, q) * _outer(x, y), p, q, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        plan, x, y = ctx.saved_tensors
        moved = tangents[0] * _outer(x, y)
        return fields(plan, tangents[1] - moved.sum(-1), tangents[2] - moved.sum(-2), ctx.empty)


def _outer(x: Tensor, y: Tensor) -> Tensor:
    return x[..., :, None] + y[..., None, :]


def _solution(plan: Tensor, rows: Tensor, cols: Tensor, empty: bool) -> tuple[Tensor, Tensor]:
    row_mass, col_mass = plan.sum(-1), plan.sum(-2)
    known = (row_mass > 0, col_mass > 0) if empty else None
    inverse = row_mass.reciprocal() if known is None else torch.where(known[0], 1 / row_mass, 0.0)
    rows, cols = orthogonal(rows, cols, known)
    rhs = cols - apply_transposed(plan, inverse * rows)
    y = None
    if plan.shape[-1] > DENSE:
        y = conjugate_gradients(plan, inverse, col_mass, rhs, tolerance=8 * torch.finfo(plan.dtype).eps, steps=STEPS)
    if y is None:
        y = factorised(plan, inverse, rhs)
    return orthogonal(inverse * (rows - apply(plan, y)), y, known)


def orthogonal(x: Tensor, y: Tensor, known: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
    """(x, y) without its part along (1, -1), and 0 where `known` says that there is no mass."""
    if known is None:
        shift = (x.sum(-1, keepdim=True) - y.sum(-1, keepdim=True)) / (x.shape[-1] + y.shape[-1])
        return x - shift, y + shift
    sources, sinks = known
    size = (sources.sum(-1, keepdim=True) + sinks.sum(-1, keepdim=True)).clamp(min=1)
    x, y = torch.where(sources, x, 0.0), torch.where(sinks, y, 0.0)
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
    matrix = wide.mT @ (wide * -inverse.double()[..., None])
    diagonal = matrix.diagonal(dim1=-2, dim2=-1).zero_()
    degree = -matrix.sum(-1)
    top, place = degree.max(-1, keepdim=True)
    tied = degree.scatter_add(-1, place, top).add_(degree <= 0)
    diagonal.copy_(tied)
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if bool(failed.any()):
        ridge = 1e-14 * top + torch.finfo(torch.float64).tiny
        diagonal.copy_(tied * (1 + 1e-12) + ridge)
        factor = torch.linalg.cholesky_ex(matrix)[0]
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
