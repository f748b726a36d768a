"""Candidates: which parameters each has, which configuration it means, and how many there are."""

import json
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selkd.config import RunConfig
from selkd.sweeps.candidates import Candidates
from selkd.sweeps.components import components, declared, known_keys
from selkd.sweeps.space import SearchSpace
from selkd.sweeps.tree import lookup, put

WIDE: dict[str, Any] = {
    "objective.name": {"choice": ["cross-entropy", "kd", "selkd"]},
    "objective.*": "declared",
    "student.model": {"choice": ["cnn", "mlp"]},
    "student.width": {"integer": [4, 16], "step": 4},
    "student.hidden": {"choice": [[16], [32, 16]]},
    "task.mode": {"choice": ["closed", "open"]},
    "task.categories": {"choice": [["three", "five"], ["one", "two", "four"]]},
}


def drawn(space: SearchSpace, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return space.candidates.walk(lambda _, parameter: parameter.at(rng.random()))


@pytest.fixture(scope="module")
def wide(space: Any) -> SearchSpace:
    return space(search=WIDE, base={"teacher": "big"})


@given(seed=st.integers(0, 10_000))
def test_a_candidate_has_the_keys_of_its_components_and_no_other(wide: SearchSpace, seed: int) -> None:
    parameters = drawn(wide, seed)
    kd, selkd = (parameters["objective.name"] == name for name in ("kd", "selkd"))
    assert ("objective.temperature" in parameters) == kd
    assert ("objective.epsilon" in parameters) == selkd
    assert ("objective.alpha" in parameters) == (kd or selkd)
    assert ("objective.mass" in parameters) == (selkd and parameters["task.mode"] == "open")
    assert ("student.width" in parameters) == (parameters["student.model"] == "cnn")
    assert ("student.hidden" in parameters) == (parameters["student.model"] == "mlp")


@given(seed=st.integers(0, 10_000))
def test_a_candidates_configuration_has_its_parameters(wide: SearchSpace, seed: int) -> None:
    parameters = drawn(wide, seed)
    settings = wide.config(parameters, 3).model_dump(mode="json")
    assert {key: lookup(settings, key) for key in parameters} == parameters
    assert (settings["seed"], settings["name"], settings["experiment"]) == (3, wide.name, wide.name)


def test_equal_parameters_give_equal_keys_in_any_order(wide: SearchSpace) -> None:
    parameters = drawn(wide, 5)
    turned = dict(reversed(parameters.items()))
    assert wide.config(parameters, 1).key == wide.config(turned, 1).key != wide.config(parameters, 2).key


def test_when_takes_one_value_or_several_and_holds_through_chains(space: Any) -> None:
    searched = {
        "data.augment.flip": {"choice": [True, False], "when": {"student.model": ["cnn"]}},
        "student.model": {"choice": ["cnn", "mlp"]},
        "data.augment.crop": {"integer": [1, 2], "when": {"data.augment.flip": True}},
    }
    whole = space(search=searched)
    found = {tuple(drawn(whole, seed)) for seed in range(40)}
    assert found == {
        ("student.model",),
        ("student.model", "data.augment.flip"),
        ("student.model", "data.augment.flip", "data.augment.crop"),
    }


def test_a_base_value_holds_a_condition_as_a_searched_one_does(space: Any) -> None:
    searched = {"student.width": {"integer": [4, 8], "when": {"task.mode": "closed"}}}
    assert "student.width" in drawn(space(search=searched), 0)


def test_a_component_that_changes_keeps_the_base_values_it_shares() -> None:
    tree: dict[str, Any] = {"objective": {"name": "selkd", "alpha": 2.0, "epsilon": 3.0}}
    put(tree, "objective.name", "kd")
    assert tree == {"objective": {"name": "kd", "alpha": 2.0}}
    put(tree, "objective", {"name": "selkd", "epsilon": 1.0})
    assert tree == {"objective": {"name": "selkd", "epsilon": 1.0}}


def test_a_component_written_by_name_alone_takes_settings() -> None:
    tree: dict[str, Any] = {"objective": "selkd"}
    put(tree, "objective.epsilon", 2.0)
    assert tree == {"objective": {"name": "selkd", "epsilon": 2.0}}


def test_steps_take_the_place_of_epochs(space: Any) -> None:
    found = space(search={"training.steps": {"integer": [10, 20]}}).config({"training.steps": 12}, 0)
    assert (found.training.steps, found.training.epochs) == (12, None)


def test_groups_are_chosen_whole(space: Any) -> None:
    one = {"name": "sgd", "lr": 0.1}
    searched = {"training.optimiser": {"choice": [one, {"name": "adamw", "lr": 0.01}]}}
    found = space(search=searched)
    assert found.config({"training.optimiser": one}, 0).training.optimiser.lr == 0.1
    assert found.candidates.size(lambda _: 0).total == 2


def brute(candidates: Candidates) -> set[str]:
    """Every candidate of a finite space, from all products of values."""
    keys = list(candidates.search)
    found = set()
    for values in product(*(candidates.search[key].values() or () for key in keys)):
        given = dict(zip(keys, values, strict=True))
        one = candidates.walk(lambda key, _, given=given: given[key])
        if candidates.allowed(one):
            found.add(json.dumps(one, sort_keys=True))
    return found


@pytest.mark.parametrize("forbid", [[], [{"objective.name": "kd", "task.mode": "open"}], [{"student.width": 8}]])
def test_every_candidate_is_enumerated_once_and_counted(space: Any, forbid: list[dict[str, Any]]) -> None:
    searched = {key: spec for key, spec in WIDE.items() if key != "objective.*"}
    searched["objective.alpha"] = {"choice": [0.5, 2.0]}
    candidates = space(search=searched, base={"teacher": "big"}, forbid=forbid).candidates
    every = [json.dumps(one, sort_keys=True) for one in candidates.every(lambda _: iter(()))]
    assert len(every) == len(set(every)) == candidates.size(lambda _: 0).total
    assert set(every) == brute(candidates)


def test_a_forbidden_combination_counts_values_that_are_not_searched(space: Any) -> None:
    searched = {"student.width": {"choice": [4, 8]}}
    found = space(search=searched, forbid=[{"objective.name": "selkd", "student.width": 8}])
    assert found.candidates.forbidden({"student.width": 8})
    assert not found.candidates.forbidden({"student.width": 4})


def test_size_says_what_makes_a_space_infinite_and_multiplies_subsets(space: Any) -> None:
    assert str(space().candidates.size(lambda _: 0)) == "infinite (2 ranges)"
    searched = {"task.categories": {"subset": {"size": 3}}, "student.width": {"choice": [4, 8]}}
    assert str(space(search=searched).candidates.size(lambda _: 120)) == "240"


def test_the_keys_of_a_search_are_those_of_a_configuration() -> None:
    settings = RunConfig.model_validate({"teacher": "t", "objective": "selkd"}).model_dump(mode="json")

    def keys(value: dict[str, Any], prefix: str = "") -> list[str]:
        return [
            key
            for name, below in value.items()
            for key in [f"{prefix}{name}", *(keys(below, f"{prefix}{name}.") if isinstance(below, dict) else [])]
        ]

    assert set(keys(settings)) <= known_keys()
    assert {"objective", "student", "selection.samples", "selection.categories"} <= set(components())


REQUIRED = {
    "vectors": {"file": "f"},
    "hierarchy": {"file": "f"},
    "matrix": {"file": "f"},
    "prototypes": {"encoder": "e"},
}
MEMBERS = [(component.group, name) for component in components().values() for name in component.members]


@pytest.mark.parametrize(("group", "name"), MEMBERS)
def test_what_a_component_declares_is_a_sound_space(space: Any, group: str, name: str) -> None:
    """A developer who declares a range that the component refuses learns it here."""
    component = components()[group]
    keys = [key for field in component.members[name] if declared(key := f"{group}.{field}", {name})]
    given: dict[str, Any] = {group: {component.tag: name, **REQUIRED[name]}} if name in REQUIRED else {}
    if group == "weighting":  # some are fitted on rows of their own, one needs to know how the student began
        given |= {"data": {"outer": 0.1}, "start": "s" if name == "dp-transfer" else None}
    found = set()
    for mode in ("closed", "open"):
        searched = {component.key: {"choice": [name]}} | ({f"{group}.*": "declared"} if keys else {})
        found |= set(space(search=searched, base={"teacher": "big", "task": {"mode": mode}, **given}).search)
    assert found == {component.key, *keys}
