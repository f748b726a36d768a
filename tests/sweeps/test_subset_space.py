"""What a subset space allows equals its definition, and what cannot be is refused in words that help."""

import math
from collections import Counter
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from selkd.config.load import validate
from selkd.errors import UserError
from selkd.sweeps.subsets import Subset, SubsetSpace

NAMES = ["ant", "bee", "cat", "cow", "dog", "eel", "fly"]
SUPERCLASSES = {"insects": ["ant", "bee", "fly"], "mammals": ["cat", "cow", "dog"]}
ROWS = [10, 20, 30, 40, 50, 60, 70]


def allowed(space: SubsetSpace) -> set[Subset]:
    """Every feasible subset, by the definition."""

    def fits(subset: Subset) -> bool:
        return (
            set(space.must) <= set(subset) <= set(space.among or NAMES) - set(space.never)
            and all(ROWS[NAMES.index(name)] >= (space.min_rows or 0) for name in subset)
            and (not space.one_per_superclass or all(len({*subset} & {*s}) <= 1 for s in SUPERCLASSES.values()))
        )

    sizes = range(space.bounds[0], space.bounds[1] + 1)
    return {subset for size in sizes for subset in combinations(NAMES, size) if fits(subset)}


@st.composite
def spaces(draw: st.DrawFn) -> SubsetSpace:
    """Any space that allows something on the data above."""
    order = draw(st.permutations(NAMES[2:]))
    must, rest = order[: draw(st.integers(0, 1))], [*order[1:], *NAMES[:2]]
    config = {
        "must": must,
        "never": rest[: draw(st.integers(0, 1))],
        "among": draw(st.none() | st.just([*must, *rest[: draw(st.integers(4, 6))]])),
        "one_per_superclass": draw(st.booleans()),
        "min_rows": draw(st.none() | st.integers(1, 30)),
    }
    sizes = sorted({len(subset) for subset in allowed(SubsetSpace.model_validate(config | {"size": [1, 7]}))})
    size = st.sampled_from(sizes) | st.tuples(st.sampled_from(sizes), st.just(sizes[-1]))
    return SubsetSpace.model_validate(config | {"size": draw(size)})


@settings(max_examples=100)
@given(spaces(), st.integers(0, 2**31))
def test_what_is_feasible_equals_the_definition(space: SubsetSpace, seed: int):
    feasible, expected = space.on(NAMES, SUPERCLASSES, ROWS), allowed(space)
    assert feasible.count() == len(expected)
    assert sorted(feasible) == sorted(expected)
    every = [subset for size in range(8) for subset in combinations(NAMES, size)]
    assert {subset for subset in every if feasible.contains(subset)} == expected
    assert feasible.random(np.random.default_rng(seed)) in expected


@pytest.mark.parametrize(
    "config",
    [
        {"size": 3, "must": ["dog"], "never": ["ant"]},
        {"size": [1, 3]},
        {"size": [2, 3], "one_per_superclass": True},
    ],
)
def test_random_subsets_are_uniform(config: dict[str, Any]):
    feasible = SubsetSpace.model_validate(config).on(NAMES, SUPERCLASSES, ROWS)
    rng = np.random.default_rng(0)
    drawn = Counter(feasible.random(rng) for _ in range(100 * feasible.count()))
    assert chisquare([drawn[subset] for subset in feasible]).pvalue > 1e-3


def test_a_thousand_categories_are_counted_and_drawn_exactly():
    names = [f"c{i}" for i in range(1000)]
    feasible = SubsetSpace(size=(1, 500)).on(names, {}, [1] * 1000)
    assert 2 * feasible.count() + 2 == 2**1000 + math.comb(1000, 500)
    assert feasible.contains(feasible.random(np.random.default_rng(0)))


def test_a_subset_of_foreign_or_repeated_names_is_not_feasible():
    feasible = SubsetSpace(size=2).on(NAMES, {}, ROWS)
    assert feasible.contains(["dog", "ant"])
    assert not feasible.contains(["dog", "dog"])
    assert not feasible.contains(["dog", "wolf"])


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"size": 0}, "size: 0 is not a size. Give a whole number of at least 1"),
    ({"size": [4, 2]}, r"size: \[4, 2\] is not a size.*smallest and the largest"),
    ({"size": True}, "size: True is not a size"),
    ({"size": "all"}, "size: 'all' is not a size"),
    ({"size": 2, "mst": ["dog"]}, "mst: unknown key. Did you mean 'must'"),
    ({"size": 2, "among": []}, "among: .*at least 1"),
    ({"size": 2, "must": ["dgo"]}, "must: the category 'dgo' is unknown. Did you mean 'dog'"),
    ({"size": 2, "among": ["dog", "cta"]}, "among: the category 'cta' is unknown. Did you mean 'cat'"),
    ({"size": 2, "never": ["dog", "dog"]}, "never: 'dog' is named twice. Remove one"),
    ({"size": 2, "must": ["dog"], "never": ["dog"]}, "must: 'dog' is in never, too. Remove it from one"),
    ({"size": 1, "must": ["dog"], "among": ["cat"]}, "must: 'dog' is not in among. Add it there"),
    ({"size": 1, "must": ["dog", "cat"]}, "must: 2 categories.*size allows 1. Raise size, or shorten must"),
    ({"size": 8}, "size: 8 categories are asked, and the data have 7. Ask for at most 7"),
    ({"size": [2, 9]}, "size: 9 categories are asked, and the data have 7"),
    ({"size": 7, "never": ["ant"]}, "size: 7 .* never leaves room for 6 of 7. Ask for at most 6, or loosen never"),
    ({"size": 5, "one_per_superclass": True}, "one_per_superclass leaves room for 3 of 7"),
    ({"size": 5, "min_rows": 40}, "min_rows leaves room for 4 of 7. Ask for at most 4, or loosen min_rows"),
    ({"size": 4, "min_rows": 40, "never": ["eel"]}, "never, min_rows leave room for 3 of 7.*never or min_rows"),
    ({"size": 2, "min_rows": 40, "must": ["cat"]}, "must: 'cat' has 30 training rows.*Lower min_rows to 30"),
    (
        {"size": 2, "must": ["cat", "dog"], "one_per_superclass": True},
        "must: 'cat' and 'dog' are both of the superclass 'mammals'",
    ),
]


@pytest.mark.parametrize(("config", "words"), REFUSED)
def test_what_cannot_be_is_refused_with_key_value_and_remedy(config: dict[str, Any], words: str):
    with pytest.raises(UserError, match=words):
        validate(SubsetSpace, config, "space.yaml").on(NAMES, SUPERCLASSES, ROWS)


@pytest.mark.parametrize(
    ("superclasses", "words"),
    [({}, "the data name no superclasses"), (SUPERCLASSES | {"pets": ["dog"]}, "'dog' is of two superclasses")],
)
def test_one_per_superclass_needs_one_superclass_of_each(superclasses: dict[str, list[str]], words: str):
    with pytest.raises(UserError, match=words):
        SubsetSpace(size=2, one_per_superclass=True).on(NAMES, superclasses, ROWS)


def test_a_space_survives_writing_and_reading():
    space = SubsetSpace(size=(2, 3), must=["dog"], one_per_superclass=True)
    assert SubsetSpace.model_validate(space.model_dump(mode="json")) == space
