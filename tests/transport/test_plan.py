"""What is true of every plan, to rounding."""

import math
from typing import Any

import pytest
import torch

from selkd.transport import Partial, Rows, RowsAndColumns, solve

TIGHT: dict[str, Any] = {"epsilon": 0.2, "tolerance": 1e-12}


def test_marginals_are_met(problem):
    scores, a, b = problem(20, 8, 3)
    plan = solve(scores, RowsAndColumns(b, a), **TIGHT)
    torch.testing.assert_close(plan.log.exp().sum(-1), a, atol=1e-13, rtol=1e-13)
    torch.testing.assert_close(plan.log.exp().sum(-2), b, atol=1e-10, rtol=1e-10)
    assert plan.converged.all()
    assert (plan.row_error < 1e-14).all()
    assert (plan.col_error <= 1e-12).all()


def test_potentials_give_the_plan(problem):
    scores, a, b = problem(20, 8, 2, zeros=1)
    for constraint in (RowsAndColumns(b, a), Rows(a), Partial(torch.tensor([3.5, 20.0]))):
        plan = solve(scores, constraint, **TIGHT)
        log = (scores + plan.row_potential[..., None] + plan.col_potential[..., None, :]) / 0.2
        torch.testing.assert_close(log, plan.log, atol=1e-11, rtol=1e-11)


def test_constants_on_rows_and_columns_change_nothing(problem):
    scores, a, b = problem(10, 6)
    moved = scores + 3 * torch.randn(10, 1, dtype=torch.float64) + torch.randn(6, dtype=torch.float64)
    plans = [solve(s, RowsAndColumns(b, a), **TIGHT).log for s in (scores, moved)]
    torch.testing.assert_close(*plans, atol=1e-9, rtol=1e-9)


def test_column_sums_of_a_row_plan_return_the_row_plan(problem):
    scores, a, _ = problem(10, 6)
    rows = solve(scores, Rows(a), **TIGHT)
    both = solve(scores, RowsAndColumns(rows.log.exp().sum(0), a), **TIGHT)
    torch.testing.assert_close(rows.log, both.log, atol=1e-10, rtol=1e-10)


def test_permuting_samples_and_categories_permutes_the_plan(problem):
    scores, a, b = problem(10, 6)
    i, k = torch.randperm(10), torch.randperm(6)
    plan = solve(scores, RowsAndColumns(b, a), **TIGHT)
    moved = solve(scores[i][:, k], RowsAndColumns(b[k], a[i]), **TIGHT)
    torch.testing.assert_close(moved.log, plan.log[i][:, k], atol=1e-10, rtol=1e-10)


def test_labels_as_columns_equal_counts_as_masses():
    scores, labels = torch.randn(40, 6, dtype=torch.float64), torch.arange(40) % 5
    counts = torch.bincount(labels, minlength=6).double()
    merged = solve(scores, RowsAndColumns(counts), epsilon=1.0, tolerance=1e-13).log.exp()
    square = solve(scores[:, labels], RowsAndColumns(torch.ones(40, dtype=torch.float64)), epsilon=1.0, tolerance=1e-13)
    torch.testing.assert_close(square.log.exp(), merged[:, labels] / counts[labels], atol=1e-11, rtol=1e-10)
    assert (merged[:, 5] == 0).all()


def test_a_large_epsilon_gives_the_product_of_the_marginals(problem):
    scores, a, b = problem(10, 6)
    plan = solve(scores, RowsAndColumns(b, a), epsilon=1e9).log.exp()
    torch.testing.assert_close(plan, a[:, None] * b / 10, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("cols", [6, 200])
def test_masses_of_zero_are_exact(problem, cols):
    scores, a, b = problem(10, cols, zeros=2)
    scores.requires_grad_()
    plan = solve(scores, RowsAndColumns(b, a), **TIGHT)
    rest = solve(scores[2:, 2:], RowsAndColumns(b[2:], a[2:]), **TIGHT)
    assert (plan.log[:2] == -torch.inf).all()
    assert (plan.log[:, :2] == -torch.inf).all()
    torch.testing.assert_close(plan.log[2:, 2:], rest.log, atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(plan.value, rest.value)
    (plan.value + plan.log.exp().square().sum()).backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    assert (scores.grad[:2] == 0).all()
    assert (scores.grad[:, :2] == 0).all()


def test_value_and_cost_are_the_objective_and_its_linear_part(problem):
    scores, a, b = problem(10, 6)
    plan = solve(scores, RowsAndColumns(b, a), **TIGHT)
    p = plan.log.exp()
    torch.testing.assert_close(plan.cost, -(p * scores).sum())
    torch.testing.assert_close(plan.value, -(p * scores).sum() + 0.2 * (p * (p.log() - 1)).sum())
    dual = (a * plan.row_potential).sum() + (b * plan.col_potential).sum() - 0.2 * p.sum()
    torch.testing.assert_close(plan.value, dual)


def test_partial_mass_is_met_and_rows_give_at_most_one(problem):
    scores, _, _ = problem(30, 5, 4)
    mass = torch.tensor([0.5, 7.0, 29.9, 30.0], dtype=torch.float64)
    plan = solve(4 * scores, Partial(mass), epsilon=0.3)
    torch.testing.assert_close(plan.log.exp().sum((-1, -2)), mass)
    assert (plan.log.exp().sum(-1) <= 1 + 1e-14).all()
    assert (plan.row_error < 1e-14).all()
    torch.testing.assert_close(plan.log[3], solve(4 * scores[3], Rows(), epsilon=0.3).log)


def test_partial_rows_follow_their_level(problem):
    scores, _, _ = problem(30, 5)
    level = (scores / 0.3).logsumexp(1)
    rho = solve(scores, Partial(12.0), epsilon=0.3).log.exp().sum(1)
    assert (rho[level.argsort()].diff() >= 0).all()
    few = solve(scores, Partial(0.01), epsilon=0.3).log.exp().sum(1)
    torch.testing.assert_close(few, 0.01 * level.softmax(0))


def test_partial_knows_rows_by_their_offset_only(problem):
    scores, _, _ = problem(30, 5)
    plan = solve(scores, Partial(12.0), epsilon=0.3)
    torch.testing.assert_close(solve(scores + 5, Partial(12.0), epsilon=0.3).log, plan.log)
    raised = scores + 0.5 * (torch.arange(30) == 3)[:, None]
    assert not torch.allclose(solve(raised, Partial(12.0), epsilon=0.3).log[3], plan.log[3])


def test_no_mass_is_an_empty_plan_with_zero_gradient(problem):
    scores, _, _ = problem(5, 3)
    scores.requires_grad_()
    plan = solve(scores, Partial(0.0), epsilon=0.3)
    assert (plan.log == -torch.inf).all()
    plan.log.exp().sum().backward()
    assert scores.grad is not None
    assert (scores.grad == 0).all()


def test_a_batch_equals_its_items(problem):
    scores, a, b = problem(20, 7, 2, 3)
    epsilon = torch.tensor([[1.0, 0.1, 0.02], [0.5, 0.01, 0.005]], dtype=torch.float64)
    plan = solve(scores, RowsAndColumns(b, a), epsilon=epsilon, tolerance=1e-12)
    assert plan.iterations.shape == (2, 3)
    assert len(plan.iterations.unique()) > 2
    for i in range(2):
        for j in range(3):
            alone = solve(scores[i, j], RowsAndColumns(b[i, j], a[i, j]), epsilon=float(epsilon[i, j]), tolerance=1e-12)
            torch.testing.assert_close(plan.log[i, j].exp(), alone.log.exp(), atol=1e-9, rtol=1e-9)


def test_a_solution_is_the_best_start(problem):
    scores, a, b = problem(40, 10)
    cold = solve(scores, RowsAndColumns(b, a), epsilon=0.05)
    warm = solve(scores, RowsAndColumns(b, a), epsilon=0.05, start=cold.col_potential)
    assert warm.iterations < cold.iterations
    torch.testing.assert_close(warm.log.exp(), cold.log.exp(), atol=1e-5, rtol=1e-4)


def test_a_bad_start_does_no_harm(problem):
    scores, a, b = problem(40, 10)
    for epsilon in (0.1, 1e-3):
        start = 100 * torch.randn(10, dtype=torch.float64)
        plan = solve(scores, RowsAndColumns(b, a), epsilon=epsilon, start=start)
        assert plan.converged
        assert solve(scores.float(), RowsAndColumns(b.float(), a.float()), epsilon=epsilon, start=start).converged
        cold = solve(scores, RowsAndColumns(b, a), epsilon=epsilon)
        assert math.isclose(float(plan.value), float(cold.value), rel_tol=1e-5)
