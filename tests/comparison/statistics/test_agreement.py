"""Agreement of scores with outcomes: exact values by hand, scipy as the oracle, and resamples as if written out."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from selkd.comparison.statistics import agreement
from selkd.comparison.statistics.agreement import _statistics


def tau(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.asarray(stats.kendalltau(x, y))[0])


def rho(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.asarray(stats.spearmanr(x, y))[0])


ORDERED = np.array([[1.0, 2.0, 3.0, 4.0]])
OUTCOMES = np.array([[0.6, 0.7, 0.8, 0.9]])


def test_a_perfect_order_has_correlation_one_and_no_regret() -> None:
    found = agreement(ORDERED, OUTCOMES)
    assert (found.kendall.value, found.spearman.value, found.regret.value) == (1, 1, 0)
    assert (found.kendall.low, found.kendall.high) == (1, 1)
    assert (found.regret.low, found.regret.high) == (0, 0)


def test_a_reversed_order_has_correlation_minus_one_and_the_largest_regret() -> None:
    found = agreement(-ORDERED, OUTCOMES)
    assert (found.kendall.value, found.spearman.value) == (-1, -1)
    assert found.regret.value == pytest.approx(0.3)


def test_ties_by_hand() -> None:
    """Five of six pairs are told apart before, six after, five agree: 5 / sqrt(5 * 6); ranks 1, 2.5, 2.5, 4."""
    found = agreement(np.array([[1.0, 2.0, 2.0, 3.0]]), OUTCOMES)
    assert found.kendall.value == pytest.approx(5 / np.sqrt(30))
    assert found.spearman.value == pytest.approx(4.5 / np.sqrt(4.5 * 5))


def test_teachers_that_share_the_first_place_are_chosen_alike_often() -> None:
    found = agreement(np.array([[1.0, 2.0, 2.0, 0.0]]), OUTCOMES)
    assert found.regret.value == pytest.approx(0.9 - (0.7 + 0.8) / 2)


def test_a_score_that_tells_no_teachers_apart_has_no_correlation_but_a_regret() -> None:
    found = agreement(np.ones((2, 4)), np.repeat(OUTCOMES, 2, 0))
    assert np.isnan([found.kendall.value, found.kendall.low, found.spearman.value]).all()
    assert found.regret.value == pytest.approx(0.15)


def test_each_seed_scores_by_itself_and_outcomes_are_means_over_seeds() -> None:
    scores = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    outcomes = np.array([[0.5, 0.7, 0.8], [0.7, 0.7, 1.0]])  # means 0.6, 0.7, 0.9
    found = agreement(scores, outcomes)
    assert found.kendall.value == pytest.approx(0)
    assert found.regret.value == pytest.approx((0 + 0.3) / 2)


def test_values_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    scores, outcomes = rng.integers(0, 6, (3, 12)).astype(float), rng.normal(size=(3, 12)).round(1)
    found, mean = agreement(scores, outcomes), outcomes.mean(0)
    assert_allclose(found.kendall.value, np.mean([tau(one, mean) for one in scores]))
    assert_allclose(found.spearman.value, np.mean([rho(one, mean) for one in scores]))


def test_a_resample_counts_as_if_it_were_written_out() -> None:
    rng = np.random.default_rng(1)
    scores, outcomes = rng.integers(0, 5, (3, 8)).astype(float), rng.normal(size=(3, 8))
    w, v = rng.multinomial(8, [1 / 8] * 8, 20), rng.multinomial(3, [1 / 3] * 3, 20)
    taus, rhos, regrets = _statistics(scores, outcomes, v.astype(float), w.astype(float))
    for r in range(20):
        teachers, seeds = np.repeat(np.arange(8), w[r]), np.repeat(np.arange(3), v[r])
        x, y = scores[seeds][:, teachers], outcomes[seeds].mean(0)[teachers]
        assert_allclose(taus[r], np.mean([tau(one, y) for one in x]))
        assert_allclose(rhos[r], np.mean([rho(one, y) for one in x]))
        assert_allclose(regrets[r], np.mean([y.max() - y[one == one.max()].mean() for one in x]))


def test_intervals_hold_the_value_shrink_with_teachers_and_repeat() -> None:
    rng = np.random.default_rng(2)
    widths = []
    for teachers in (10, 80):
        truth = rng.normal(size=teachers)
        scores, outcomes = truth + rng.normal(size=(5, teachers)), truth + 0.1 * rng.normal(size=(5, teachers))
        found = agreement(scores, outcomes)
        assert found.kendall.low < found.kendall.value < found.kendall.high
        assert found == agreement(scores, outcomes)
        widths.append(found.kendall.high - found.kendall.low)
    assert widths[1] < widths[0] / 2


@pytest.mark.parametrize(
    ("scores", "outcomes"),
    [
        (ORDERED, OUTCOMES[:, :3]),
        (ORDERED[:, :1], OUTCOMES[:, :1]),
        (ORDERED * np.nan, OUTCOMES),
        (ORDERED[0], OUTCOMES[0]),
    ],
)
def test_what_cannot_be_correlated_is_refused(scores: np.ndarray, outcomes: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be"):
        agreement(scores, outcomes)
