"""The optimism of a chosen candidate against its expectation, by hand, and where it is none."""

import math

import numpy as np
import pytest

from selkd.comparison.statistics import optimism

MEAN_OF_LARGEST_OF_TEN = 1.53875
"""Of standard normals (Harter 1961, table 1)."""


def test_equal_candidates_are_as_optimistic_as_the_largest_of_their_means():
    rng, n = np.random.default_rng(0), 12
    found = [optimism(rng.normal(size=(10, n)), resamples=300, seed=s).value for s in range(300)]
    wanted, error = MEAN_OF_LARGEST_OF_TEN / math.sqrt(n), float(np.std(found)) / math.sqrt(300)
    assert np.mean(found) == pytest.approx(wanted, abs=3.3 * error)
    assert error < 0.05 * wanted


def test_a_candidate_that_is_far_the_best_is_not_flattered():
    scores = np.random.default_rng(1).normal(size=(5, 10))
    scores[3] += 50
    found = optimism(scores, resamples=4000)
    assert found.chosen == 3
    assert found.again == 1.0
    assert abs(found.value) < 0.05


def test_two_candidates_on_two_units_by_hand():
    """A resample is one unit twice: its winner scores 1 there and 0 on the other; so 1 / sqrt(2 - 1 / 2)."""
    found = optimism([[1.0, 0.0], [0.0, 1.0]])
    assert found.value == pytest.approx(1 / math.sqrt(1.5))
    assert found.units == 2


def test_where_less_is_better_the_sign_is_of_the_flattery():
    scores = np.random.default_rng(2).normal(size=(6, 8))
    up, down = optimism(scores), optimism(-scores, higher_is_better=False)
    assert up == down
    assert up.value > 0


def test_more_candidates_flatter_more_and_more_units_less():
    rng = np.random.default_rng(3)

    def mean(k, n):
        return np.mean([optimism(rng.normal(size=(k, n)), resamples=200).value for _ in range(60)])

    few, many, long = mean(2, 6), mean(20, 6), mean(20, 60)
    assert few < many
    assert long < many / 2


def test_a_shared_level_of_the_units_does_not_matter():
    scores = np.random.default_rng(4).normal(size=(6, 8))
    assert optimism(scores + 7).value == pytest.approx(optimism(scores).value)


def test_one_candidate_was_not_chosen():
    assert optimism([[0.3, 0.4, 0.5]]).value == 0.0


def test_what_cannot_be_checked_has_a_reason():
    alone = optimism([[0.3], [0.4]])
    assert math.isnan(alone.value)
    assert alone.chosen == 1
    assert "1 units" in alone.reason
    torn = optimism([[0.3, math.nan, 0.2], [0.4, 0.1, 0.3]])
    assert torn.units == 2
    assert "1 units lack" in torn.reason
    assert not math.isnan(torn.value)
    none = optimism([[math.nan], [0.4]])
    assert none.chosen == -1
    assert "0 units" in none.reason


def test_optimism_repeats_with_its_seed():
    scores = np.random.default_rng(5).normal(size=(6, 8))
    assert optimism(scores, seed=1) == optimism(scores, seed=1) != optimism(scores, seed=2)
