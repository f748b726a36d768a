"""What every registered category policy must satisfy."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from selkd.config import RunConfig
from selkd.errors import UserError
from selkd.selection import CATEGORIES, CategoryEvidence
from selkd.selection.categories import Choice

NAMES = tuple("lbkdaefcihgj")  # not in alphabetical order
SUPERCLASSES = {"north": ("l", "b", "k"), "east": ("d", "a", "e"), "south": ("f", "c", "i"), "west": ("h", "g", "j")}
CONSTRAINED: dict[str, list[dict[str, Any]]] = {
    "explicit": [],
    "superclass": [{"superclasses": 2}, {"superclasses": 2, "among": ["east", "west", "north"], "min_rows": 32}],
}
SIZED: list[dict[str, Any]] = [
    {"size": 1},
    {"size": 12},
    {"size": 4, "must": ["g", "a"], "never": ["l"], "min_rows": 33},
    {"size": 3, "must": ["f"], "never": ["b"], "one_per_superclass": True},
    {"size": 4, "among": ["k", "a", "i", "j", "h"]},
]
TAUGHT = sorted(name for name, policy in CATEGORIES.items() if policy.Settings().needs_teacher)
UNTAUGHT = sorted(set(CATEGORIES) - set(TAUGHT))


def cases(names: Iterable[str]) -> Iterator[Any]:
    for name in names:
        for settings in [{}, *CONSTRAINED.get(name, SIZED)]:
            yield pytest.param(name, settings, id=f"{name}-{settings}")


every_case = pytest.mark.parametrize(("name", "settings"), list(cases(CATEGORIES)))
every_order_free_case = pytest.mark.parametrize(
    ("name", "settings"), list(cases(name for name, policy in CATEGORIES.items() if policy.order_free))
)
every_sized = pytest.mark.parametrize("name", sorted(set(CATEGORIES) - set(CONSTRAINED)))


def evidence() -> CategoryEvidence:
    answers = np.random.default_rng(3).dirichlet(np.full(12, 0.3), 12)
    rows = tuple(range(30, 42))
    return CategoryEvidence(NAMES, SUPERCLASSES, rows, named=("c", "l"), ask_teacher=lambda: answers)


def choose(name: str, settings: dict[str, Any], known: CategoryEvidence | None = None, seed: int = 0) -> Choice:
    cls = CATEGORIES[name]
    return cls(cls.Settings(**settings)).choose(known or evidence(), seed)


def permuted(known: CategoryEvidence, order: Sequence[int]) -> CategoryEvidence:
    return replace(
        known,
        categories=tuple(known.categories[i] for i in order),
        superclasses={name: known.superclasses[name][::-1] for name in sorted(known.superclasses)},
        rows=tuple(known.rows[i] for i in order),
        ask_teacher=lambda: known.answers[np.ix_(order, order)],
    )


@every_case
def test_a_subset_is_distinct_and_in_the_order_of_the_data(name: str, settings: dict[str, Any]) -> None:
    chosen = choose(name, settings).categories
    if name != "explicit":
        assert chosen == tuple(c for c in NAMES if c in chosen)
    assert len(set(chosen)) == len(chosen) > 0


@every_case
def test_sizes_are_exact_and_constraints_hold(name: str, settings: dict[str, Any]) -> None:
    chosen = choose(name, settings).categories
    if name == "explicit":
        assert chosen == ("c", "l")
    elif name == "superclass":
        whole = [s for s, members in SUPERCLASSES.items() if set(members) <= set(chosen)]
        assert len(chosen) == sum(len(SUPERCLASSES[s]) for s in whole)
        assert len(whole) == settings.get("superclasses", 1)
        assert set(whole) <= set(settings.get("among", SUPERCLASSES))
    else:
        assert len(chosen) == settings.get("size", 5)
        assert set(settings.get("must", [])) <= set(chosen) <= set(settings.get("among", NAMES))
        assert not set(settings.get("never", [])) & set(chosen)
        if settings.get("one_per_superclass"):
            assert all(len(set(members) & set(chosen)) <= 1 for members in SUPERCLASSES.values())
    rows = dict(zip(NAMES, evidence().rows, strict=True))
    assert name == "explicit" or all(rows[c] >= settings.get("min_rows", 0) for c in chosen)


@every_case
def test_the_same_seed_gives_the_same_choice(name: str, settings: dict[str, Any]) -> None:
    assert choose(name, settings, seed=5) == choose(name, settings, seed=5)


def test_only_those_that_are_named_after_it_choose_by_the_order_of_the_categories() -> None:
    assert {name for name, policy in CATEGORIES.items() if not policy.order_free} == {"explicit", "first-k"}


@every_order_free_case
@pytest.mark.parametrize("seed", [0, 1])
def test_the_order_of_the_categories_decides_nothing(name: str, settings: dict[str, Any], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(12).tolist()
    here, there = choose(name, settings, seed=seed), choose(name, settings, permuted(evidence(), order), seed)
    assert set(here.categories) == set(there.categories)
    assert here.scores == there.scores


@every_case
def test_scores_tell_of_every_category_what_decided(name: str, settings: dict[str, Any]) -> None:
    scores = choose(name, settings).scores
    assert list(scores) == ([] if name == "explicit" else list(NAMES))
    assert np.isfinite(list(scores.values())).all()


@pytest.mark.parametrize("name", UNTAUGHT)
def test_who_needs_no_teacher_asks_none(name: str) -> None:
    def asked() -> np.ndarray:
        raise AssertionError("asked")

    assert choose(name, {}, replace(evidence(), ask_teacher=asked)) == choose(name, {})


@pytest.mark.parametrize("name", TAUGHT)
def test_a_missing_teacher_is_refused_before_anything_starts(name: str) -> None:
    with pytest.raises(UserError, match=rf"teacher: selection\.categories\.policy '{name}' reads one\. Train it"):
        RunConfig.of({"selection": {"categories": name}})
    with pytest.raises(UserError, match="teacher: this policy reads a teacher's answers"):
        choose(name, {}, replace(evidence(), ask_teacher=None))


@every_sized
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 13}, r"size: 13 categories are asked, and the data have 12\. Ask for at most 12"),
        ({"size": 5, "one_per_superclass": True}, r"size: 5 .* one_per_superclass leaves room for 4 of 12"),
        ({"size": 2, "min_rows": 41}, r"size: 2 .* min_rows leaves room for 1 of 12"),
        ({"size": 2, "must": ["north"]}, "must: the category 'north' is unknown"),
        ({"size": 2, "never": ["z"]}, "never: the category 'z' is unknown"),
        ({"size": 3, "must": ["l", "b"], "one_per_superclass": True}, "both of the superclass 'north'"),
        ({"size": 2, "must": ["l"], "min_rows": 31}, r"'l' has 30 training rows.*Lower min_rows to 30"),
    ],
)
def test_what_cannot_be_is_refused_with_key_and_remedy(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        choose(name, settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"superclasses": 5}, r"superclasses: 5 are asked, and 4 of 4 are allowed\. Ask for at most 4"),
        ({"superclasses": 2, "min_rows": 37}, "superclasses: 2 are asked, and 1 of 4"),
        ({"among": ["nort"]}, "among: the superclass 'nort' is unknown. Did you mean 'north'"),
    ],
)
def test_superclasses_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        choose("superclass", settings)


def test_data_without_superclasses_are_refused_where_they_are_needed() -> None:
    plain = replace(evidence(), superclasses={})
    with pytest.raises(UserError, match="the data name none"):
        choose("superclass", {}, plain)
    with pytest.raises(UserError, match="one_per_superclass: the data name no superclasses"):
        choose("random", {"one_per_superclass": True}, plain)


@pytest.mark.parametrize("name", CATEGORIES)
def test_a_name_alone_is_enough_and_search_ranges_are_allowed_values(name: str) -> None:
    for key, field in CATEGORIES[name].Settings.model_fields.items():
        declared: Any = field.json_schema_extra or {}
        for value in declared.get("search", []):
            config = {"teacher": "t", "selection": {"categories": {"policy": name, key: value}}}
            assert getattr(RunConfig.of(config).selection.categories, key) == value
    assert RunConfig.of({"teacher": "t", "selection": {"categories": name}}).selection.categories.policy == name
