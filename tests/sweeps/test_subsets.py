"""Proposals of subsets keep every constraint, depend on nothing but their arguments, and learn."""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from selkd.sweeps.subsets import Feasible, Subset, SubsetSpace, propose

Told = list[tuple[Subset, float | None]]


def feasible(names: list[str], **config: Any) -> Feasible:
    return SubsetSpace.model_validate(config).on(names, {"odd": names[1::2]}, [10] * len(names))


def named(count: int) -> list[str]:
    return [f"c{i:02d}" for i in range(count)]


def search(space: Feasible, value: Callable[[Subset], float | None], candidates: int, seed: int) -> Told:
    told: Told = []
    for number in range(candidates):
        subset = propose(space, told, number=number, seed=seed)
        told.append((subset, value(subset)))
    return told


def additive(space: Feasible, seed: int) -> Callable[[Subset], float]:
    effects = dict(
        zip(space.categories, np.random.default_rng(seed).standard_normal(len(space.categories)), strict=True)
    )
    return lambda subset: float(sum(effects[name] for name in subset))


def rounded(value: Callable[[Subset], float]) -> Callable[[Subset], float]:
    """Whole numbers, so that many subsets are equally good."""
    return lambda subset: float(round(value(subset)))


def best(told: Told) -> float:
    return max(value for _, value in told if value is not None)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([2, 4, (1, 3), (2, 6)]),
    st.booleans(),
    st.lists(st.sampled_from([None, math.nan, math.inf, 0.0, 0.5, -3.0, 1e30]), min_size=16, max_size=16),
    st.integers(0, 2**31),
)
def test_every_proposal_is_feasible_whatever_is_told(size: Any, one: bool, values: list[float | None], seed: int):
    space = feasible(named(14), size=size, must=["c03"], never=["c05"], one_per_superclass=one)
    told: Told = []
    for number, value in enumerate(values):
        subset = propose(space, told, number=number, seed=seed, startup=4)
        assert space.contains(subset)
        assert subset == space.ordered(subset)
        assert subset not in dict(told) or len(dict(told)) == space.count()
        told.append((subset, value))


def test_proposals_depend_on_nothing_but_the_arguments():
    space = feasible(named(20), size=5)
    told = search(space, additive(space, 0), 20, seed=1)
    again = search(space, additive(space, 0), 20, seed=1)
    assert told == again
    pending = [told[3][0], ("c00", "c01", "c02", "c03", "c04")]
    first = propose(space, told, pending, number=20, seed=1)
    assert first == propose(space, told[::-1], pending[::-1], number=20, seed=1)
    assert first == propose(space, [(subset[::-1], value) for subset, value in told], pending, number=20, seed=1)


def test_seed_and_number_make_the_random_stream():
    space = feasible(named(20), size=5)
    assert len({propose(space, [], number=number, seed=0) for number in range(8)}) == 8
    assert len({propose(space, [], number=0, seed=seed) for seed in range(8)}) == 8


@pytest.mark.parametrize("candidates", [3, 15])
def test_what_is_pending_is_not_proposed_and_drives_proposals_apart(candidates: int):
    space = feasible(named(20), size=4)
    told = search(space, additive(space, 0), candidates, seed=0)
    pending: list[Subset] = []
    for _ in range(8):
        pending.append(propose(space, told, pending, number=candidates, seed=0))
    assert len({*pending} | {subset for subset, _ in told}) == 8 + candidates


@pytest.mark.parametrize("failure", [None, math.nan, math.inf, -math.inf])
def test_failed_subsets_are_not_proposed_again_and_say_nothing_of_others(failure: float | None):
    space = feasible(named(16), size=4)
    told = search(space, additive(space, 0), 15, seed=0)
    failed = propose(space, told, number=15, seed=0)
    after = propose(space, [*told, (failed, failure)], number=15, seed=0)
    assert after != failed
    assert after == propose(space, [*told, (failed, None)], number=15, seed=0)


def test_infeasible_subsets_are_ignored():
    space = feasible(named(16), size=4)
    told = search(space, additive(space, 0), 15, seed=0)
    foreign: Told = [(("c00", "c01"), 99.0), (("wolf", "c01", "c02", "c03"), 99.0)]
    assert propose(space, told + foreign, number=15, seed=0) == propose(space, told, number=15, seed=0)


def test_the_first_subsets_use_every_category_equally_often():
    space = feasible(named(20), size=4)
    used = Counter(name for subset, _ in search(space, lambda _: None, 15, seed=0) for name in subset)
    assert set(used.values()) == {3}


def test_every_subset_is_tried_once_and_then_the_best_by_its_mean():
    space = feasible(named(5), size=[2, 3])
    told = search(space, additive(space, 0), 20, seed=0)
    assert {subset for subset, _ in told} == set(space)
    by_luck, good = told[0][0], told[1][0]
    repeated: Told = [*((subset, 0.0) for subset, _ in told), (by_luck, 3.0), (by_luck, -9.0), (good, 1.0)]
    assert propose(space, repeated, number=20, seed=0) == good
    assert space.contains(propose(space, [(subset, None) for subset in space], number=20, seed=0))


def test_a_single_feasible_subset_is_proposed():
    space = feasible(named(4), size=4)
    assert propose(space, [], number=0, seed=0) == space.categories
    assert propose(space, [(space.categories, 0.5)], number=1, seed=0) == space.categories


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_the_optimum_of_an_additive_problem_is_found_among_15504_subsets(noise: float):
    space, rng = feasible(named(20), size=5), np.random.default_rng(0)
    value = additive(space, 0)
    told = search(space, lambda subset: value(subset) + noise * rng.standard_normal(), 45, seed=0)
    optimum = value(space.ordered(sorted(space.categories, key=lambda name: -value((name,)))[:5]))
    assert max(value(subset) for subset, _ in told) == pytest.approx(optimum)


def test_the_best_size_is_found():
    space = feasible(named(12), size=[2, 7])
    told = search(space, lambda subset: -abs(len(subset) - 6) + 0.1 * additive(space, 1)(subset), 30, seed=0)
    assert Counter(len(subset) for subset, _ in told[15:]).most_common(1)[0][0] == 6


def test_renaming_renames_the_proposals():
    names, others = named(18), [f"x{i}" for i in np.random.default_rng(3).permutation(18)]
    space, renamed = feasible(names, size=5), feasible(others, size=5)
    new = dict(zip(names, others, strict=True))
    old = dict(zip(others, names, strict=True))
    value = rounded(additive(space, 0))
    told = search(space, value, 25, seed=0)
    after = search(renamed, lambda subset: value(tuple(old[name] for name in subset)), 25, seed=0)
    assert [subset for subset, _ in after] == [tuple(new[name] for name in subset) for subset, _ in told]


def test_categories_of_which_nothing_is_known_are_equally_likely():
    """Where many subsets promise the same, neither the first nor the last in the data set's order is preferred."""
    space = feasible(named(22), size=5)
    told: Told = [(("c00", "c05", "c10", "c15", "c20"), 0.5), (("c01", "c06", "c11", "c16", "c21"), 0.5)]
    used = Counter(name for n in range(60) for name in propose(space, told, number=n, seed=0, startup=2))
    unknown = [used[name] for name in space.categories if not any(name in subset for subset, _ in told)]
    assert sum(unknown) > 200
    assert chisquare(unknown).pvalue > 1e-3


def test_it_beats_random_subsets_at_equal_budget():
    """One-sided sign test over seeds, pairwise effects: the habit of google/vizier."""
    space, wins = feasible(named(16), size=5), 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        pairs = rng.standard_normal((16, 16))

        def value(subset: Subset, pairs: np.ndarray = pairs) -> float:
            ids = [space.categories.index(name) for name in subset]
            return float(pairs[np.ix_(ids, ids)].sum())

        found = best(search(space, value, 35, seed))
        wins += found > max(value(space.random(rng)) for _ in range(35))
    assert wins >= 7  # by chance with probability 9/256
