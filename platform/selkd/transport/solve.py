"""The one entry: scores and a constraint in, a plan out."""

import warnings
from typing import Literal

import torch
from torch import Tensor

from selkd.transport.closed import partial_plan, rows_plan
from selkd.transport.implicit import implicit
from selkd.transport.iterate import Iteration
from selkd.transport.plan import Plan
from selkd.transport.problem import Constraint, Partial, Problem, Rows, checked
from selkd.transport.unrolled import unrolled

Differentiate = Literal["implicit", "unrolled"]


def solve(
    scores: Tensor,
    constraint: Constraint,
    *,
    epsilon: Tensor | float,
    tolerance: float = 1e-6,
    max_iterations: int = 1000,
    start: Tensor | None = None,
    differentiate: Differentiate = "implicit",
) -> Plan:
    """The plan that minimises -<P, scores> - epsilon H(P) under the constraint, for scores [..., B, K].

    Differentiable to any order in scores, masses (along changes that keep the totals equal) and epsilon. Column
    iterations stop per batch item once the column error is within `tolerance`; `start` gives column potentials
    [..., K] to begin from, for instance those of an earlier plan. What did not converge says so in the plan, and
    warns once. Half precision is solved in float32.
    """
    if differentiate not in ("implicit", "unrolled"):
        raise ValueError(f"differentiate must be implicit or unrolled, not {differentiate!r}")
    if not tolerance >= 0 or max_iterations < 1:
        raise ValueError(f"tolerance {tolerance} must not be negative and max_iterations {max_iterations} at least 1")
    with torch.autocast(scores.device.type if isinstance(scores, Tensor) else "cpu", enabled=False):
        problem = checked(scores, constraint, epsilon)
        if isinstance(constraint, Rows):
            return _closed(problem, rows_plan(problem))
        if isinstance(constraint, Partial):
            return _closed(problem, partial_plan(problem))
        return _iterated(problem, tolerance, max_iterations, start, differentiate)


def _iterated(
    problem: Problem, tolerance: float, steps: int, start: Tensor | None, differentiate: Differentiate
) -> Plan:
    scores, epsilon, a, b, _, ratio = problem
    assert b is not None
    if start is not None:
        if start.shape != b.shape or bool(start.isnan().any()):
            raise ValueError(f"start {list(start.shape)} must be column potentials {list(b.shape)} without NaN")
        start = torch.where(start.detach().isfinite(), start.detach(), 0.0).to(b)
    if differentiate == "unrolled":
        begin = torch.zeros_like(b) if start is None else start
        parts = unrolled(scores, a, b, epsilon, tolerance=tolerance, steps=steps, start=begin)
    else:
        parts = implicit(Iteration(tolerance, steps, ratio, start), scores, a, b, epsilon)
    plan = Plan(*parts, scores=scores, epsilon=epsilon)  # pyright: ignore[reportCallIssue]
    if not bool(plan.converged.all()):
        warnings.warn(
            "a transport plan did not reach its tolerance; see Plan.converged and Plan.col_error "
            "(larger epsilon, tolerance or max_iterations would help)",
            RuntimeWarning,
            stacklevel=1,
        )
    return plan


def _closed(problem: Problem, parts: tuple[Tensor, Tensor]) -> Plan:
    """A plan that took no iteration: nothing is asked of its columns, its rows are exact."""
    scores = problem.scores
    lead = scores.shape[:-2]
    zero = scores.new_zeros(lead)
    return Plan(
        log=parts[0],
        row_potential=parts[1].detach().to(scores.dtype),
        col_potential=scores.new_zeros(*lead, scores.shape[-1]),
        converged=torch.ones(lead, dtype=torch.bool, device=scores.device),
        iterations=torch.zeros(lead, dtype=torch.int64, device=scores.device),
        row_error=zero,
        col_error=zero,
        scores=scores,
        epsilon=problem.epsilon,
    )
