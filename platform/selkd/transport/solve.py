"""The one entry: scores and a constraint in, a plan out."""

import warnings
from typing import Literal

import torch
from torch import Tensor

from selkd.transport.closed import partial_log, rows_log
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
    problem = checked(scores, constraint, epsilon)
    if torch.is_autocast_enabled(problem.scores.device.type):
        with torch.autocast(problem.scores.device.type, enabled=False):
            return _solved(problem, constraint, tolerance, max_iterations, start, differentiate)
    return _solved(problem, constraint, tolerance, max_iterations, start, differentiate)


def _solved(
    problem: Problem,
    constraint: Constraint,
    tolerance: float,
    steps: int,
    start: Tensor | None,
    differentiate: Differentiate,
) -> Plan:
    if isinstance(constraint, Rows):
        return _closed(problem, rows_log(problem))
    if isinstance(constraint, Partial):
        return _closed(problem, partial_log(problem))
    return _iterated(problem, tolerance, steps, start, differentiate)


def _iterated(
    problem: Problem, tolerance: float, steps: int, start: Tensor | None, differentiate: Differentiate
) -> Plan:
    scores, top, epsilon, a, b, *_ = problem
    assert b is not None
    if start is not None:
        if start.shape != b.shape or bool(start.isnan().any()):
            raise ValueError(f"start {list(start.shape)} must be column potentials {list(b.shape)} without NaN")
        start = torch.where(start.detach().isfinite(), start.detach(), 0.0).to(b)
    if differentiate == "unrolled":
        begin = torch.zeros_like(b) if start is None else start
        parts = unrolled(scores, a, b, epsilon, tolerance=tolerance, steps=steps, start=begin)
    else:
        parts = implicit(
            Iteration(tolerance, steps, problem.ratio, top, start), scores, a, b, epsilon, empty=problem.empty
        )
    log, potential, converged, iterations, error = parts
    plan = Plan(log, potential, converged, iterations, error, problem)
    if not bool(plan.converged.all()):
        warn()
    return plan


def warn() -> None:
    """Shown once a process, because text and place never change."""
    warnings.warn(
        "a transport plan did not reach its tolerance; see Plan.converged and Plan.col_error "
        "(larger epsilon, tolerance or max_iterations would help)",
        RuntimeWarning,
        stacklevel=1,
    )


def _closed(problem: Problem, log: Tensor) -> Plan:
    """A plan that took no iteration: nothing is asked of its columns, its rows are exact."""
    lead = problem.scores.shape[:-2]
    return Plan(
        log=log,
        col_potential=log.new_zeros(*lead, log.shape[-1]),
        converged=torch.ones(lead, dtype=torch.bool, device=log.device),
        iterations=torch.zeros(lead, dtype=torch.int64, device=log.device),
        col_error=log.new_zeros(lead),
        problem=problem,
    )
