"""Plans against POT in float64, linear programming, and brute force."""

from itertools import pairwise
from typing import Any

import numpy as np
import ot as pot
import pytest
import torch

from selkd.transport import Partial, Rows, RowsAndColumns, solve

ORACLE: Any = pot


@pytest.mark.parametrize("epsilon", [1.0, 0.1, 0.03])
@pytest.mark.parametrize(("rows", "cols"), [(1, 5), (5, 1), (7, 4), (30, 12), (12, 40), (80, 230)])
def test_plans_with_both_marginals_equal_pots(problem, rows, cols, epsilon):
    for _ in range(6):
        scores, a, b = problem(rows, cols)
        plan = solve(scores, RowsAndColumns(b, a), epsilon=epsilon, tolerance=1e-12)
        oracle = ORACLE.sinkhorn(a, b, -scores, epsilon, method="sinkhorn_log", stopThr=1e-13, numItermax=20_000)
        torch.testing.assert_close(plan.log.exp(), oracle, atol=1e-9, rtol=1e-9)


@pytest.mark.slow
def test_hundreds_of_generated_plans_equal_pots(problem):
    draw = np.random.default_rng(1)
    for _ in range(300):
        rows, cols = draw.integers(2, 40, 2)
        epsilon = float(10 ** draw.uniform(-1.5, 1))
        scores, a, b = problem(rows, cols)
        plan = solve(scores, RowsAndColumns(b, a), epsilon=epsilon, tolerance=1e-11)
        oracle = ORACLE.sinkhorn(a, b, -scores, epsilon, method="sinkhorn_log", stopThr=1e-12, numItermax=20_000)
        torch.testing.assert_close(plan.log.exp(), oracle, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("size", [(6, 6), (15, 4), (40, 25)])
def test_small_epsilon_tends_to_the_linear_program(problem, size):
    scores, a, b = problem(*size)
    exact = ORACLE.emd2(a.numpy(), b.numpy(), -scores.numpy())
    gaps = []
    for epsilon in (0.1, 0.01, 1e-3, 1e-4):
        plan = solve(scores, RowsAndColumns(b, a), epsilon=epsilon, tolerance=1e-10)
        assert plan.converged
        gaps.append(float(plan.cost) - exact)
    assert all(gap > -1e-8 for gap in gaps)
    assert all(later <= earlier + 1e-9 for earlier, later in pairwise(gaps))
    assert gaps[-1] < 1e-3 * size[0]


@pytest.mark.parametrize("epsilon", [0.01, 0.3, 4.0])
@pytest.mark.parametrize("fraction", [0.02, 0.4, 0.97])
def test_partial_plans_equal_pots(problem, fraction, epsilon):
    scores, _, _ = problem(12, 5)
    scores = scores * epsilon * 10
    plan = solve(scores, Partial(fraction * 12), epsilon=epsilon).log.exp()
    oracle = ORACLE.partial.entropic_partial_wasserstein(
        np.ones(12), np.full(5, 12.0), -scores.numpy(), reg=epsilon, m=fraction * 12, numItermax=20_000, stopThr=1e-14
    )
    torch.testing.assert_close(plan, torch.tensor(oracle), atol=1e-9, rtol=1e-7)


def test_rows_alone_are_a_softmax(problem):
    scores, a, _ = problem(9, 4)
    plan = solve(scores, Rows(a), epsilon=0.3)
    torch.testing.assert_close(plan.log.exp(), a[:, None] * (scores / 0.3).softmax(1), atol=1e-14, rtol=1e-13)
    torch.testing.assert_close(solve(scores, Rows(), epsilon=0.3).log, (scores / 0.3).log_softmax(1))
