"""Boundaries of planned looks against published tables and multivariate normal probabilities."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from selkd.comparison.statistics import LookPlan, boundaries, crossing, decide
from selkd.comparison.statistics.sequential import spent
from selkd.errors import UserError


def equal(looks):
    return [(i + 1) / looks for i in range(looks)]


@pytest.mark.parametrize(("looks", "constant"), [(2, 2.178), (3, 2.289), (4, 2.361), (5, 2.413)])
def test_pococks_constants_cross_with_probability_five_per_cent(looks, constant):
    assert crossing([constant] * looks, equal(looks))[-1] == pytest.approx(0.05, abs=1e-4)
    # Pocock 1977; Jennison and Turnbull 2000, table 2.1


@pytest.mark.parametrize(("looks", "constant"), [(2, 1.977), (3, 2.004), (4, 2.024), (5, 2.040)])
def test_o_brien_and_flemings_constants_cross_with_probability_five_per_cent(looks, constant):
    bounds = [constant / math.sqrt(t) for t in equal(looks)]
    assert crossing(bounds, equal(looks))[-1] == pytest.approx(0.05, abs=1e-4)
    # O'Brien and Fleming 1979; Jennison and Turnbull 2000, table 2.3


@pytest.mark.parametrize(
    ("spending", "tabled"),
    [
        ("obrien-fleming", (4.8769, 3.3569, 2.6803, 2.2898, 2.0310)),
        ("pocock", (2.4380, 2.4268, 2.4101, 2.3966, 2.3859)),
    ],
)
def test_spending_boundaries_of_five_equal_looks_are_the_published_ones(spending, tabled):
    """Reboussin, DeMets, Kim and Lan 2000, Controlled Clinical Trials 21: two-sided 0.05, five equal looks."""
    assert boundaries(equal(5), 0.05, spending) == pytest.approx(tabled, abs=2e-4)


@pytest.mark.parametrize("fractions", [(0.3, 1.0), (0.2, 0.25, 1.0), (0.5, 0.9, 0.95, 1.0)])
def test_unequal_looks_have_the_multivariate_normal_probabilities(fractions):
    bounds = boundaries(fractions, 0.05, "pocock")
    t = np.array(fractions)
    correlation: Any = np.sqrt(np.minimum.outer(t, t) / np.maximum.outer(t, t))
    for looks in range(2, len(t) + 1):
        joint = stats.multivariate_normal(cov=correlation[:looks, :looks], abseps=1e-6, maxpts=200_000)
        held = joint.cdf(np.array(bounds[:looks]), lower_limit=-np.array(bounds[:looks]))
        assert 1 - held == pytest.approx(spent(fractions[looks - 1], 0.05, "pocock"), abs=2e-5)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=6, unique=True).map(sorted),
    st.sampled_from([0.01, 0.05, 0.2]),
    st.sampled_from(["obrien-fleming", "pocock"]),
)
def test_each_look_spends_what_the_function_says(looks, alpha, spending):
    fractions = [n / looks[-1] for n in looks]
    found = crossing(boundaries(fractions, alpha, spending), fractions)
    assert found == pytest.approx([spent(t, alpha, spending) for t in fractions], abs=1e-8)
    assert found[-1] == pytest.approx(alpha, abs=1e-8)


@pytest.mark.parametrize("spending", ["obrien-fleming", "pocock"])
def test_one_look_is_the_plain_test(spending):
    assert LookPlan((20,), 0.05, spending).nominal() == pytest.approx((0.05,))


def test_looks_that_are_close_together_are_integrated_finely():
    bounds = boundaries([0.5, 0.5001, 1.0], 0.05, "pocock")
    assert crossing(bounds, [0.5, 0.5001, 1.0])[-1] == pytest.approx(0.05, abs=1e-7)
    assert bounds[2] == pytest.approx(boundaries([0.5, 1.0], 0.05, "pocock")[1], abs=1e-3)


def test_o_brien_fleming_keeps_alpha_for_the_end_and_pocock_spreads_it():
    late, even = LookPlan((10, 20, 30)), LookPlan((10, 20, 30), spending="pocock")
    assert late.nominal()[0] < even.nominal()[0]
    assert late.nominal()[-1] > 0.04 > even.nominal()[-1]
    assert list(late.nominal()) == sorted(late.nominal())


def test_a_look_added_afterwards_is_refused():
    with pytest.raises(UserError, match=r"4 looks where 3 were declared.*exploratory"):
        LookPlan((10, 20, 30)).nominal((10, 20, 25, 30))


def test_more_units_than_declared_are_refused():
    with pytest.raises(UserError, match="look 2 was declared at 20 units, not 21"):
        decide(LookPlan((10, 20, 30)), (10, 21), (0.5, 0.5))


def test_a_look_that_falls_short_spends_less_and_the_level_holds():
    plan = LookPlan((10, 20), spending="pocock")
    short = plan.nominal((9, 20))
    assert short[0] < plan.nominal()[0]
    z = [float(stats.norm.isf(p / 2)) for p in short]
    assert crossing(z, (0.45, 1.0))[-1] == pytest.approx(0.05, abs=1e-7)
    z = [float(stats.norm.isf(p / 2)) for p in plan.nominal((10, 19))]
    assert crossing(z, (0.5, 0.95))[-1] < 0.05


def test_looks_that_cannot_reject_are_named():
    assert LookPlan((5, 10, 20)).hopeless() == (5,)
    assert LookPlan((6, 12), spending="pocock").hopeless() == (6,)
    assert LookPlan((7, 14), spending="pocock").hopeless() == ()


def test_the_first_look_that_rejects_decides():
    plan = LookPlan((10, 20, 30), spending="pocock")
    first, second, _ = plan.nominal()
    held = decide(plan, (10,), (first * 1.01,))
    assert (held.rejected, held.look, held.next) == (False, 1, 20)
    told = decide(plan, (10, 20), (first * 1.01, second))
    assert (told.rejected, told.look, told.next) == (True, 2, None)
    early = decide(plan, (10, 20), (first, 0.9))
    assert (early.rejected, early.look, early.next) == (True, 1, None)
    ended = decide(plan, (10, 20, 30), (0.5, 0.04, 0.049))
    assert (ended.rejected, ended.look, ended.next) == (False, 3, None)


@pytest.mark.parametrize("looks", [(), (0, 5), (10, 10), (20, 10)])
def test_a_plan_that_does_not_rise_is_refused(looks):
    with pytest.raises(UserError, match="rising numbers of units"):
        LookPlan(looks)


def test_unknown_spending_and_alpha_are_refused_with_the_nearest_name():
    with pytest.raises(UserError, match="Did you mean 'pocock'"):
        LookPlan((5, 10), spending="pocok")  # pyright: ignore[reportArgumentType]
    with pytest.raises(UserError, match="alpha"):
        LookPlan((5, 10), alpha=5)


def test_p_values_that_do_not_fit_the_looks_are_refused():
    with pytest.raises(UserError, match="one p-value for each"):
        decide(LookPlan((10, 20)), (10, 20), (0.5,))
    with pytest.raises(UserError, match="one p-value for each"):
        decide(LookPlan((10, 20)), (10,), (math.nan,))
