"""Units and detectable differences against published tables and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from selkd.comparison.statistics import detectable, needed, paired, units_needed
from selkd.comparison.statistics.power import fewest, power_of


@pytest.mark.parametrize(
    ("dz", "power", "alpha", "units"),
    [(0.2, 0.8, 0.05, 199), (0.5, 0.8, 0.05, 34), (0.8, 0.8, 0.05, 15), (0.5, 0.95, 0.05, 54), (0.5, 0.8, 0.01, 51)],
)
def test_units_are_those_of_g_power(dz, power, alpha, units):
    """Faul et al. 2007, G*Power 3: two-sided t test of the difference of two dependent means."""
    assert units_needed(dz, 1.0, power=power, alpha=alpha) == units
    assert units_needed(-3 * dz, 3.0, power=power, alpha=alpha) == units


def test_power_is_that_of_simulated_t_tests():
    draws = np.random.default_rng(0).normal(0.6, 1.0, (4000, 14))
    t = draws.mean(1) / draws.std(1, ddof=1) * math.sqrt(14)
    rejected = int((np.abs(t) >= stats.t.isf(0.025, 13)).sum())
    assert stats.binomtest(rejected, 4000, power_of(14, 0.6, 1.0)).pvalue > 0.001


def test_without_a_difference_the_power_is_alpha():
    assert power_of(9, 0.0, 1.0, 0.03) == pytest.approx(0.03)


def test_the_permutation_test_has_nearly_the_planned_power():
    units = units_needed(0.85, 1.0)
    assert units == 13
    draws = np.random.default_rng(1).normal(0.85, 1.0, (400, units))
    rejected = sum(paired(row).permutation_p <= 0.05 for row in draws)
    assert rejected >= stats.binom.ppf(0.001, 400, 0.78)


@settings(max_examples=30)
@given(st.floats(0.15, 3.0), st.sampled_from([0.5, 0.8, 0.95]), st.sampled_from([0.01, 0.05]))
def test_units_and_detectable_differences_are_inverse(dz, power, alpha):
    units = units_needed(dz, 1.0, power=power, alpha=alpha)
    assert units is not None
    assert detectable(units, 1.0, power=power, alpha=alpha) <= dz + 1e-9
    if units > fewest(alpha):
        assert detectable(units - 1, 1.0, power=power, alpha=alpha) > dz


@pytest.mark.parametrize(("alpha", "units"), [(0.05, 6), (0.0625, 5), (0.01, 8), (0.5, 2)])
def test_no_plan_is_below_the_units_that_sign_flips_need(alpha, units):
    assert fewest(alpha) == units
    assert 2 / 2**units <= alpha < 2 / 2 ** (units - 1)
    assert units_needed(100.0, 1.0, power=0.9, alpha=alpha) == units
    assert detectable(units - 1, 1.0, power=0.9, alpha=alpha) == math.inf


def test_a_pilot_says_how_many_more_and_how_sure_that_is():
    pilot = np.random.default_rng(2).normal(size=10)
    pilot = 0.02 * (pilot - pilot.mean()) / pilot.std(ddof=1)
    found = needed(pilot, 0.01)
    assert found.deviation == pytest.approx(0.02)
    assert found.deviation_low / 0.02 == pytest.approx(0.688, abs=5e-4)  # Dixon and Massey 1969, sigma of n = 10
    assert found.deviation_high / 0.02 == pytest.approx(1.826, abs=5e-4)
    assert (found.units, found.more) == (34, 24)
    assert found.units_low == units_needed(0.01, found.deviation_low)
    assert found.units_high == units_needed(0.01, found.deviation_high)
    assert (found.units_low, found.units_high) == (17, 107)
    assert found.detectable == pytest.approx(detectable(10, 0.02))
    assert found.reason == ""


def test_a_clustered_pilot_counts_clusters():
    means = [0.01, -0.02, 0.03, 0.0, 0.015, 0.02]
    assert needed(np.repeat(means, 3), 0.01, np.repeat(np.arange(6), 3)) == needed(means, 0.01)


@pytest.mark.parametrize(
    ("pilot", "difference", "why"),
    [
        ([], 0.1, "0 units"),
        ([0.1], 0.1, "1 units"),
        ([0.1, 0.1, 0.1], 0.1, "equal"),
        ([0.1, 0.2, 0.3], 0.1, "3 units cannot reach p = 0.05: it takes 6"),
        ([0.1, 0.2, 0.9, -0.4, 0.2, 0.3, 0.1], 1e-5, "more than 1000000 units"),
    ],
)
def test_what_a_pilot_cannot_say_has_a_reason(pilot, difference, why):
    found = needed(pilot, difference)
    assert why in found.reason
    assert None in (found.units, found.units_high) or math.isinf(found.detectable)


@pytest.mark.parametrize("wrong", [{"deviation": 0.0}, {"power": 1.2}, {"alpha": 0.9}, {"difference": 0.0}])
def test_what_cannot_be_planned_is_refused(wrong):
    with pytest.raises(ValueError, match=r"must be|cannot be told"):
        units_needed(**({"difference": 1.0, "deviation": 1.0} | wrong))
