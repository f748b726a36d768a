"""Friedman, Nemenyi and Holm against published tables and brute force."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from selkd.comparison.statistics import critical_difference, friedman, groups, holm, nemenyi

ROUNDING_FIRST_BASE = (
    np.array(
        [
            [
                540,
                585,
                520,
                555,
                590,
                545,
                540,
                545,
                525,
                585,
                525,
                565,
                560,
                505,
                550,
                545,
                555,
                545,
                550,
                565,
                570,
                630,
            ],  # round out
            [
                550,
                570,
                560,
                550,
                585,
                555,
                540,
                550,
                515,
                580,
                520,
                555,
                535,
                500,
                550,
                555,
                555,
                550,
                545,
                560,
                565,
                630,
            ],  # narrow angle
            [
                555,
                575,
                550,
                540,
                570,
                560,
                535,
                535,
                500,
                570,
                510,
                545,
                545,
                495,
                540,
                550,
                535,
                555,
                525,
                540,
                555,
                625,
            ],  # wide angle
        ]
    ).T
    / 100.0
)
"""Seconds of 22 players by three ways to round first base (Hollander and Wolfe 1973, section 7.1)."""


def test_friedman_of_the_base_runners_is_the_published_one():
    found = friedman(ROUNDING_FIRST_BASE, higher_is_better=False)
    assert found.chi2 == pytest.approx(11.1429, abs=5e-5)
    assert found.chi2_p == pytest.approx(0.003805, abs=5e-7)
    assert found.n == 22


def test_differences_and_groups_of_demsars_classifiers_are_the_published_ones():
    """C4.5, +m, +cf and +m+cf on 14 data sets (Demsar 2006, section 3.2.4 and figure 1)."""
    ranks = (3.143, 2.000, 2.893, 1.964)
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=5e-3)
    assert critical_difference(4, 14, 0.1) == pytest.approx(1.12, abs=5e-3)
    assert groups(ranks, critical_difference(4, 14, 0.1)) == [(3, 1, 2), (2, 0)]


@pytest.mark.parametrize("alpha", [0.05, 0.1])
def test_critical_values_are_demsars(alpha):
    tabled = {
        0.05: (1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164),
        0.1: (1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920),
    }  # Demsar 2006, table 5 (a)
    for k, q in zip(range(2, 11), tabled[alpha], strict=True):
        assert critical_difference(k, 6, alpha) / math.sqrt(k * (k + 1) / 36) == pytest.approx(q, abs=1.1e-3)


def test_the_f_statistic_is_the_analysis_of_variance_of_the_ranks():
    """Iman and Davenport 1980: the two-way F of the ranks, here by its sums of squares."""
    scores = np.random.default_rng(1).normal(size=(9, 4))
    ranks = stats.rankdata(-scores, axis=1)
    levels = 9 * ((ranks.mean(0) - 2.5) ** 2).sum()
    rest = ((ranks - 2.5) ** 2).sum() - levels
    found = friedman(scores)
    assert found.f == pytest.approx((levels / 3) / (rest / 24))
    assert found.f_p == pytest.approx(stats.f.sf(found.f, 3, 24))


def test_perfect_agreement_is_as_likely_as_its_p_says():
    found = friedman([[3.0, 2.0, 1.0]] * 4)
    assert found.f == math.inf
    assert found.f_p == pytest.approx(1 / 6**3)
    assert found.mean_ranks == (1.0, 2.0, 3.0)


def test_nemenyis_p_is_alpha_at_the_critical_difference():
    far = critical_difference(5, 12, 0.05)
    p = nemenyi([1.0, 1.0 + far, 2.0, 2.5, 3.0], 12)
    assert p[0, 1] == p[1, 0] == pytest.approx(0.05)
    assert np.diag(p) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("scores", "name", "why"),
    [
        ([[1.0, 2.0]] * 5, "chi2_p", "2 levels"),
        ([[1.0, 2.0, 3.0]], "f_p", "1 complete blocks"),
        ([[2.0, 2.0, 2.0]] * 5, "chi2", "tied in every block"),
        ([[math.nan, 2.0, 3.0]] * 5, "mean_ranks", "no block"),
    ],
)
def test_what_friedmans_test_cannot_say_has_a_reason(scores, name, why):
    found = friedman(scores)
    assert why in found.reasons[name]
    unknown = {
        key for key, value in dataclasses.asdict(found).items() if isinstance(value, float) and math.isnan(value)
    }
    assert unknown <= set(found.reasons)


def test_incomplete_blocks_are_left_out_and_counted():
    whole = np.random.default_rng(2).normal(size=(6, 3))
    torn = np.vstack([whole, [[0.1, math.nan, 0.3]]])
    found = friedman(torn)
    assert found.incomplete == 1
    assert "1 blocks" in found.reasons["incomplete"]
    assert found.chi2 == friedman(whole).chi2


def test_holms_values_are_the_published_ones():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.floats(0.001, 0.3))
def test_holm_rejects_what_stepping_down_rejects(p, alpha):
    """Holm 1979: from the smallest on, reject while p_(i) <= alpha / (m - i + 1)."""
    wanted, order = set(), sorted(range(len(p)), key=p.__getitem__)
    for place, index in enumerate(order):
        if p[index] * (len(p) - place) > alpha:
            break
        wanted.add(index)
    assert {i for i, value in enumerate(holm(p)) if value <= alpha} == wanted


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.randoms(use_true_random=False))
def test_holm_keeps_the_order_and_lies_between_p_and_bonferroni(p, random):
    adjusted = holm(p)
    assert all(a <= b <= min(1, len(p) * a) + 1e-15 or b == max(adjusted) for a, b in zip(p, adjusted, strict=True))
    order = np.argsort(p, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()
    shuffled = list(range(len(p)))
    random.shuffle(shuffled)
    assert holm([p[i] for i in shuffled]) == pytest.approx(adjusted[shuffled])


def test_what_was_not_tested_does_not_count_in_holms_family():
    found = holm([0.02, math.nan, 0.03])
    assert found == pytest.approx([0.04, math.nan, 0.04], nan_ok=True)
    assert not holm([]).size


@given(st.lists(st.integers(10, 50), min_size=1, max_size=7), st.integers(0, 25))
def test_groups_are_the_largest_sets_within_the_difference(ranks, difference):
    sets = [
        set(chosen)
        for size in range(2, len(ranks) + 1)
        for chosen in itertools.combinations(range(len(ranks)), size)
        if max(ranks[i] for i in chosen) - min(ranks[i] for i in chosen) <= difference
    ]
    wanted = [s for s in sets if not any(s < other for other in sets)]
    found = groups(ranks, difference)
    assert sorted(map(sorted, found)) == sorted(map(sorted, wanted))
    assert [ranks[g[0]] for g in found] == sorted(ranks[g[0]] for g in found)
