"""What float32 and hard problems may cost, and what the plan then says of itself."""

import subprocess
import sys

import pytest
import torch

from selkd.transport import Partial, Rows, RowsAndColumns, solve

UNIT = 2.0**-24


@pytest.mark.parametrize("ratio", [1.0, 30.0, 300.0, 3e3, 9e3, 1e5])
@pytest.mark.parametrize("kind", ["rows", "columns", "partial"])
@pytest.mark.filterwarnings("ignore:a transport plan did not reach")
def test_float32_entries_are_close_to_float64_at_equal_potentials(problem, ratio, kind):
    scores, _, b = (part.float() for part in problem(64, 12))
    constraint = {"rows": Rows(), "columns": RowsAndColumns(b), "partial": Partial(20.3)}[kind]
    plan = solve(scores, constraint, epsilon=1 / ratio)
    assert plan.log.dtype == torch.float32
    gap = (
        scores.double() + plan.row_potential.double()[:, None] + plan.col_potential.double() - plan.log.double() / ratio
    )
    large = plan.log.exp() > 1e-6
    assert float((gap * ratio)[large].abs().max()) <= 8 * UNIT * max(ratio, 1)
    assert float(plan.row_error) < 1e-6


@pytest.mark.parametrize("size", [(64, 20), (20, 64), (128, 100)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_default_settings_converge_up_to_a_range_of_a_thousand(problem, size, dtype):
    scores, a, b = (part.to(dtype) for part in problem(*size))
    for scale in (1.0, 10.0, 100.0, 1000.0):
        plan = solve(scores, RowsAndColumns(b, a), epsilon=float(scores.max() - scores.min()) / scale)
        assert plan.converged
        sums = plan.log.double().exp().sum(0)
        assert float((sums - b).abs().sum() / b.sum()) < 3e-6


def test_structured_scores_converge_too():
    labels = torch.arange(60) % 12
    for noise in (0.0, 1e-3, 1.0):
        scores = 10.0 * (labels[:, None] == torch.arange(12)) + noise * torch.randn(60, 12)
        b = torch.linspace(0.2, 1.8, 12)
        plan = solve(scores, RowsAndColumns(60 * b / b.sum()), epsilon=0.1)
        assert plan.converged, noise


@pytest.mark.parametrize("scale", [1e3, 1e4])
@pytest.mark.filterwarnings("ignore:a transport plan did not reach")
def test_huge_logits_are_finite_with_exact_rows_and_honest_columns(scale):
    scores = (scale * torch.randn(32, 10)).requires_grad_()
    plan = solve(scores, RowsAndColumns(torch.full((10,), 3.2)), epsilon=1.0)
    assert plan.log.isfinite().all()
    torch.testing.assert_close(plan.log.exp().sum(1), torch.ones(32), atol=1e-6, rtol=0)
    measured = float((plan.log.detach().double().exp().sum(0) - 3.2).abs().sum() / 32)
    assert measured == pytest.approx(float(plan.col_error), abs=2e-6)
    assert bool(plan.converged) == (float(plan.col_error) <= 1e-6)
    (plan.log.exp() * torch.randn(32, 10)).sum().backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


def test_what_did_not_converge_says_so_and_warns(problem):
    scores, a, b = problem(30, 10, 2)
    epsilon = torch.tensor([100.0, 0.01], dtype=torch.float64)
    with pytest.warns(RuntimeWarning, match="did not reach its tolerance"):
        plan = solve(scores, RowsAndColumns(b, a), epsilon=epsilon, max_iterations=3)
    assert plan.converged.tolist() == [True, False]
    assert int(plan.iterations.max()) <= 3
    measured = (plan.log.exp().sum(-2) - b).abs().sum(-1) / b.sum(-1)
    torch.testing.assert_close(plan.col_error, measured)
    torch.testing.assert_close(plan.log.exp().sum(-1), a)


def test_two_plans_that_do_not_converge_warn_once_a_process():
    code = """
import torch
from selkd.transport import RowsAndColumns, solve
torch.manual_seed(0)
for columns in (5, 8):
    masses = torch.full((columns,), 40 / columns)
    plan = solve(torch.rand(40, columns), RowsAndColumns(masses), epsilon=0.001, max_iterations=2)
    assert not plan.converged
"""
    ran = subprocess.run([sys.executable, "-W", "default", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stderr.count("did not reach its tolerance") == 1, ran.stderr


def test_autocast_and_half_precision_are_solved_in_float32(problem):
    scores, _, b = (part.float() for part in problem(16, 8))
    full = solve(scores.bfloat16().float(), RowsAndColumns(b), epsilon=0.1).log
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = solve(scores.bfloat16(), RowsAndColumns(b), epsilon=0.1).log
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, full)


def test_tolerance_zero_takes_exactly_the_iterations_asked_for(problem):
    scores, a, b = problem(16, 8)
    with pytest.warns(RuntimeWarning):
        plan = solve(scores, RowsAndColumns(b, a), epsilon=0.1, tolerance=0.0, max_iterations=37)
    assert int(plan.iterations) == 37
