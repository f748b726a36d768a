"""Paired tests and effect sizes against published data, enumeration and scipy."""

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from selkd.comparison.statistics import paired, smallest_p

DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
"""Heights of crossed less self-fertilised maize, eighths of an inch (Fisher 1935, The Design of Experiments)."""
SLEEP = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
"""Hours of sleep gained by one drug over another (Student 1908)."""
DEPRESSION = [0.952, -0.147, 1.022, 0.43, 0.62, 0.59, 0.49, -0.08, 0.01]
"""Hamilton factor before less after (Hollander and Wolfe 1973, table 3.1)."""
differences = st.lists(st.integers(-6, 6).map(float), min_size=1, max_size=7)


def test_sign_flips_of_darwins_maize_give_fishers_count():
    found = paired(DARWIN)
    assert found.exact
    assert found.permutation_p == 1726 / 2**15  # Fisher 1935, section 21: 5.267 per cent


def test_wilcoxon_of_darwins_maize_gives_the_published_value():
    found = paired(DARWIN)
    assert found.wilcoxon_p == pytest.approx(0.041259765625)  # scipy's manual, of the same data
    assert found.rank_biserial == pytest.approx((96 - 24) / 120)
    assert (found.wins, found.ties, found.losses) == (13, 0, 2)


def test_wilcoxon_of_the_depression_scores_gives_the_published_value():
    assert paired(DEPRESSION).wilcoxon_p == pytest.approx(0.0390625)  # Hollander and Wolfe, section 3.1


def test_effect_size_of_students_sleep_is_its_t_over_root_n():
    found = paired(SLEEP)
    assert found.mean == pytest.approx(1.58)
    assert found.dz * math.sqrt(10) == pytest.approx(4.0621, abs=5e-5)  # Student 1908


@pytest.mark.parametrize(("m", "factor"), [(2, 0.5642), (3, 0.7236), (4, 0.7979), (5, 0.8408), (10, 0.9228)])
def test_hedges_correction_is_the_tabled_one(m, factor):
    values = np.random.default_rng(m).normal(size=m + 1)
    found = paired(values)
    assert found.hedges_g / found.dz == pytest.approx(factor, abs=6e-5)  # Hedges 1981, table 1


def test_hedges_correction_takes_the_bias_out_of_dz():
    rng = np.random.default_rng(0)
    found = [paired(row) for row in rng.normal(0.6, 1.0, (800, 5))]
    error = float(np.std([f.hedges_g for f in found])) / math.sqrt(800)
    assert np.mean([f.hedges_g for f in found]) == pytest.approx(0.6, abs=3.3 * error)
    assert np.mean([f.dz for f in found]) > 0.6 + 3.3 * error


@pytest.mark.parametrize(("n", "p"), [(0, 1.0), (1, 1.0), (2, 0.5), (5, 0.0625), (6, 0.03125), (10, 2 / 1024)])
def test_no_data_reach_a_smaller_p_than_is_said(n, p):
    assert smallest_p(n) == p
    if n:
        best = paired(np.arange(1.0, n + 1))
        assert best.permutation_p == best.wilcoxon_p == best.smallest_p == p


@given(differences)
def test_the_permutation_p_is_the_enumeration(values):
    sums = [abs(sum(s * v for s, v in zip(signs, values, strict=True))) for signs in _flips(len(values))]
    assert paired(values).permutation_p == pytest.approx(np.mean(np.array(sums) >= abs(sum(values))))


@given(differences)
def test_wilcoxons_p_is_the_enumeration_of_pratts_ranks(values):
    ranks = stats.rankdata(np.abs(values)) * (np.array(values) != 0)
    sums = np.abs([np.dot(signs, ranks) for signs in _flips(len(values))])
    found = paired(values)
    if not ranks.any():
        assert math.isnan(found.wilcoxon_p)
        return
    assert found.wilcoxon_p == pytest.approx(np.mean(sums >= abs(np.dot(np.sign(values), ranks)) - 1e-9))


@pytest.mark.parametrize("seed", range(5))
def test_wilcoxon_with_ties_and_zeros_equals_scipys_permutations(seed):
    values = np.random.default_rng(seed).integers(-3, 5, 11).astype(float)
    every: Any = stats.PermutationMethod()
    oracle: Any = stats.wilcoxon(values, zero_method="pratt", method=every)
    assert paired(values).wilcoxon_p == pytest.approx(oracle.pvalue)


def test_wilcoxon_of_many_untied_values_equals_their_enumeration():
    values = np.random.default_rng(9).normal(0.3, 1.0, 18)
    ranks = np.arange(1, 19)[np.argsort(np.argsort(np.abs(values)))]
    steps = np.arange(2**18, dtype=np.uint32)[:, None] >> np.arange(18, dtype=np.uint32) & 1
    sums = np.abs((1 - 2.0 * steps) @ ranks)
    assert paired(values).wilcoxon_p == pytest.approx((sums >= abs(np.sign(values) @ ranks)).mean())


@given(differences, st.floats(1e-6, 1e6))
def test_swapping_the_sides_or_the_unit_changes_no_p(values, unit):
    there, back = paired(np.array(values) * unit), paired(-np.array(values))
    assert there.permutation_p == back.permutation_p
    assert there.wilcoxon_p == pytest.approx(back.wilcoxon_p, nan_ok=True)
    assert there.dz == pytest.approx(-back.dz, nan_ok=True)
    assert there.rank_biserial == pytest.approx(-back.rank_biserial, nan_ok=True)
    assert (there.wins, there.ties, there.losses) == (back.losses, back.ties, back.wins)


@given(st.lists(st.tuples(st.integers(-6, 6).map(float), st.integers(0, 3)), min_size=1, max_size=12))
def test_clusters_are_flipped_as_wholes(rows):
    values, owners = zip(*rows, strict=True)
    names = sorted(set(owners))
    sums = [sum(v for v, o in rows if o == name) for name in names]
    means = [s / owners.count(name) for s, name in zip(sums, names, strict=True)]
    found = paired(values, [f"subset {o}" for o in owners])
    assert found.units == len(names)
    assert found.n == len(rows)
    assert found.permutation_p == paired(sums).permutation_p
    assert found.wilcoxon_p == pytest.approx(paired(means).wilcoxon_p, nan_ok=True)
    assert found.dz == pytest.approx(paired(means).dz, nan_ok=True)
    assert found.smallest_p == smallest_p(len(names))


def test_random_flips_come_near_the_exact_p_and_repeat_with_their_seed():
    values = np.random.default_rng(3).normal(0.4, 1.0, 18)
    found = paired(values, seed=1)
    steps = np.arange(2**18, dtype=np.uint32)[:, None] >> np.arange(18, dtype=np.uint32) & 1
    exact = float((np.abs((1 - 2.0 * steps) @ values) >= abs(values.sum()) - 1e-9).mean())
    assert not found.exact
    assert found.permutation_p == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 20_000))
    assert paired(values, seed=1) == found
    assert paired(values, seed=2).permutation_p != found.permutation_p


def test_random_flips_never_claim_a_p_of_zero():
    assert paired(np.arange(1.0, 41)).permutation_p == 1 / 20_000


def test_rounding_of_a_difference_does_not_break_a_tie():
    values = [0.03 - 0.02, 0.92 - 0.93, 0.05 - 0.04, 0.92 - 0.92, 0.1 + 0.2 - 0.3]
    assert len({abs(v) for v in values}) > 2
    assert _same(paired(values), paired([1, -1, 1, 0, 0]))
    assert paired(values).ties == 2


def test_zeros_alone_show_nothing_and_say_why():
    found = paired([0.0] * 8)
    assert (found.permutation_p, found.mean, found.ties) == (1.0, 0.0, 8)
    assert "zero" in found.reasons["wilcoxon_p"]
    assert "zero" in found.reasons["dz"]


def test_values_that_are_not_finite_are_left_out_and_counted():
    found = paired([0.1, math.nan, 0.3, math.inf, -0.2], ["a", "b", "a", "c", "d"])
    assert (found.n, found.units, found.missing) == (3, 2, 2)
    assert "2 of the values" in found.reasons["missing"]
    assert _same(dataclasses.replace(found, missing=0, reasons={}), paired([0.1, 0.3, -0.2], ["a", "a", "d"]))


@settings(max_examples=60)
@given(st.lists(st.sampled_from([math.nan, 0.0, 0.1, 0.1, -0.2, 1.0]), max_size=4))
def test_nothing_is_nan_without_a_reason(values):
    found = dataclasses.asdict(paired(values))
    unknown = {name for name, value in found.items() if isinstance(value, float) and math.isnan(value)}
    assert unknown == set(found["reasons"]) - {"missing"}
    assert ("missing" in found["reasons"]) == any(map(math.isnan, values))


def test_clusters_that_do_not_match_the_values_are_refused():
    with pytest.raises(ValueError, match="2 clusters are given for 3 values"):
        paired([1.0, 2.0, 3.0], ["a", "b"])


def _flips(n):
    return itertools.product((1, -1), repeat=n)


def _same(left, right):
    """Equal but for the unit of the differences."""
    skipped = {"mean", "median", "reasons"}
    a, b = dataclasses.asdict(left), dataclasses.asdict(right)
    return all(a[name] == pytest.approx(b[name], nan_ok=True) for name in a.keys() - skipped)
