"""Scores of teachers by hand, by an independent optimiser, and by an exact solver."""

import math
from typing import Any

import numpy as np
import ot
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from torch.nn import functional as F

from selkd.selection.teachers import scores


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


LABELS = torch.tensor([0, 0, 1, 2, 2, 2, 1, 0])
P, COST = drawn(8, 4).softmax(1), drawn(4, 3, seed=1).abs()


def test_cost_to_the_label_is_the_exact_transport_to_it() -> None:
    exact = [
        np.sum(ot.emd(p.numpy(), q.numpy(), COST.numpy()) * COST.numpy())
        for p, q in zip(P, F.one_hot(LABELS, 3).double(), strict=True)
    ]
    assert scores.label_cost(P, LABELS, COST) == pytest.approx(float(np.mean(exact)), abs=1e-12)


def test_the_same_categories_in_another_order_cost_one_less_the_true_probability() -> None:
    order = torch.tensor([2, 0, 1])
    p, cost = drawn(8, 3, seed=4).softmax(1), (order[:, None] != torch.arange(3)).double()
    true = p[torch.arange(8), order.argsort()[LABELS]]
    assert scores.label_cost(p, LABELS, cost) == pytest.approx(1 - float(true.mean()), abs=1e-12)


def test_cost_to_the_prior_is_near_the_exact_one_and_to_an_equal_student_near_none() -> None:
    prior = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    exact = np.sum(ot.emd([0.25] * 4, prior.numpy(), COST.numpy()) * COST.numpy())
    assert scores.prior_cost(COST, prior, 0.005) == pytest.approx(float(exact), abs=0.01)
    assert scores.student_cost(P, P, 1 - torch.eye(4, dtype=torch.float64), 0.02) < 1e-6


def test_leep_by_hand() -> None:
    """Two rows, two labels, p = (3/4, 1/4) and (1/4, 3/4): P(y = z | z) = 3/4, so each label has (9 + 1) / 16."""
    p = torch.tensor([[0.75, 0.25], [0.25, 0.75]], dtype=torch.float64)
    assert scores.leep(p, torch.tensor([0, 1]), 2) == pytest.approx(math.log(10 / 16))


def test_leep_of_a_perfect_and_of_an_indifferent_teacher() -> None:
    assert scores.leep(F.one_hot(LABELS, 3).double(), LABELS, 3) == pytest.approx(0)
    frequency = torch.bincount(LABELS).double() / 8
    indifferent = scores.leep(torch.full((8, 4), 0.25, dtype=torch.float64), LABELS, 3)
    assert indifferent == pytest.approx(float((frequency * frequency.log()).sum()))


def test_nce_by_hand() -> None:
    """Answers z = (0, 0, 1, 1) to labels (0, 1, 1, 1): H(Y | Z) = 1/2 log 2."""
    p = F.one_hot(torch.tensor([0, 0, 1, 1]), 2).double()
    assert scores.nce(p, torch.tensor([0, 1, 1, 1]), 2) == pytest.approx(-math.log(2) / 2)
    assert scores.nce(F.one_hot(LABELS, 3).double(), LABELS, 3) == pytest.approx(0)


@pytest.mark.parametrize("d", [3, 12])
def test_logme_is_the_largest_evidence_that_an_optimiser_finds(d: int) -> None:
    """With more features than rows, too."""
    features = drawn(8, d, seed=2)
    if d == 3:
        features[:, 0] += 2 * LABELS
    found = []
    for column in F.one_hot(LABELS, 3).double().T.numpy():

        def evidence(log: np.ndarray, y: np.ndarray = column) -> float:
            cov: Any = math.exp(-log[1]) * np.eye(8) + math.exp(-log[0]) * (features @ features.T).numpy()
            return -float(multivariate_normal.logpdf(y, cov=cov))

        bounds = [(-12, 12), (-12, 12)]
        starts = [(0.0, 0.0), (2.0, 2.0), (-2.0, 3.0)]
        found.append(min(minimize(evidence, start, bounds=bounds, method="L-BFGS-B").fun for start in starts))
    assert scores.logme(features, LABELS, 3) == pytest.approx(-float(np.mean(found)) / 8, abs=5e-3)


def test_logme_prefers_features_that_tell_labels() -> None:
    telling = torch.cat([F.one_hot(LABELS, 3).double() + 0.1 * drawn(8, 3), drawn(8, 2, seed=1)], 1)
    assert scores.logme(telling, LABELS, 3) > scores.logme(drawn(8, 5, seed=3), LABELS, 3)


def test_logme_of_features_that_say_nothing_is_the_limit_of_vanishing_ones() -> None:
    labels = torch.tensor([0, 1, 1, 0, 1])
    nothing = scores.logme(torch.zeros(5, 3), labels, 2)
    assert math.isfinite(nothing)
    for others in (1e-6 * drawn(5, 3), torch.full((5, 3), 1e-200, dtype=torch.float64)):
        assert scores.logme(others, labels, 2) >= nothing - 1e-9
    assert scores.logme(F.one_hot(labels, 3).double(), labels, 2) > nothing
    by_hand = [5 / 2 * (math.log(5 / (2 * math.pi * ones)) - 1) for ones in (2, 3)]
    assert nothing == pytest.approx(sum(by_hand) / 2 / 5)


@pytest.mark.parametrize("epsilon", [0.05, 0.5])
def test_the_mean_plan_is_the_one_that_costs_what_is_told(epsilon: float) -> None:
    p, q, cost = drawn(4, 3).softmax(1), drawn(4, 5, seed=1).softmax(1), drawn(3, 5, seed=2).abs()
    plan = scores.mean_plan(p, q, cost, epsilon)
    assert float((plan * cost).sum()) == pytest.approx(scores.student_cost(p, q, cost, epsilon), abs=1e-5)
    torch.testing.assert_close(plan.sum(1), p.mean(0), atol=1e-6, rtol=0)
    torch.testing.assert_close(plan.sum(0), q.mean(0), atol=1e-6, rtol=0)
