"""Gains are over the cross-entropy twin; different subsets are compared by gains alone, pair of subsets by pair."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from selkd.comparison.compare import Question, answer
from selkd.comparison.records import Records
from selkd.errors import UserError

Made = Callable[..., Records]
POLICY = "selection.categories.policy"


def pair(policy: str, seed: int, subset: str, score: float, gain: float, **more: Any) -> list[dict[str, Any]]:
    """A student and its twin."""
    shared = {POLICY: policy, "seed": seed, "categories": subset, "selection.categories.size": 2, **more}
    both = [("student", "selkd", score + gain), ("twin", "cross-entropy", score)]
    return [
        {**shared, "role": role, "objective.name": name, "test/accuracy": value, "validation/accuracy": value}
        for role, name, value in both
    ]


def policies(subsets: int = 8) -> list[dict[str, Any]]:
    """`easy` picks easy categories and gains nothing; `hard` picks hard ones and gains 3 points."""
    rng = np.random.default_rng(1)
    rows: list[dict[str, Any]] = []
    for seed in range(8):
        rows += pair("easy", seed, f"a{seed % subsets}", 0.95, rng.normal(0, 0.003))
        rows += pair("hard", seed, f"b{seed % subsets}", 0.60, rng.normal(0.03, 0.003))
    return rows


def test_raw_accuracy_across_subsets_is_refused_with_reason_and_remedy(records: Made) -> None:
    with pytest.raises(UserError, match=r"easy ones would win. Ask for gain/accuracy"):
        answer(records(policies()), Question(POLICY, "accuracy"))


def test_gains_find_the_policy_that_raw_accuracy_would_not(records: Made) -> None:
    found = answer(records(policies()), Question(POLICY, "gain/accuracy"))
    [contrast] = found.contrasts
    assert (contrast.better, contrast.pairs, contrast.clusters) == ("hard", 8, 8)
    assert contrast.difference == pytest.approx(0.03, abs=0.004)
    assert found.metric.words == "gain in test accuracy over cross-entropy"
    assert len(found.trials) == 16, "twins are no students of their own"


def test_pairs_of_the_same_two_subsets_count_as_one(records: Made) -> None:
    found = answer(records(policies(subsets=2)), Question(POLICY, "gain/accuracy"))
    assert (found.contrasts[0].pairs, found.contrasts[0].clusters) == (8, 2)
    assert found.contrasts[0].better is None
    assert found.pairing.unit == "pair of subsets"
    assert any("2 pairs of subsets cannot give a p-value below 0.5" in caveat for caveat in found.caveats)


def test_a_gain_without_its_twin_is_left_out_and_named(records: Made) -> None:
    rows = policies()
    del rows[1]
    found = answer(records(rows), Question(POLICY, "gain/accuracy"))
    assert found.contrasts[0].pairs == 7
    assert list(found.left_out["reason"]) == ["it has no cross-entropy twin of the same subset, rows and seed"]


def test_a_twin_has_the_same_rows_seed_and_subset(records: Made) -> None:
    rows = policies()
    rows += pair("easy", 0, "a0", 0.10, 0.5, **{"data.rows_per_category": 5})
    found = answer(records(rows), Question(POLICY, "gain/accuracy", within=("data.rows_per_category",)))
    values = sorted(found.trials["value"])
    assert values[-1] == pytest.approx(0.5)
    assert values[-2] < 0.05


def test_twins_are_the_cross_entropy_students_where_objectives_are_compared(records: Made) -> None:
    rows = [row for seed in range(8) for row in pair("first-k", seed, "a", 0.8, 0.02)]
    found = answer(records(rows), Question("objective.name", "accuracy"))
    assert (found.contrasts[0].better, found.contrasts[0].pairs) == ("selkd", 8)


def test_costs_may_be_compared_across_subsets(records: Made) -> None:
    rows = [row | {"cost/parameters": 10.0} for row in policies()]
    found = answer(records(rows), Question(POLICY, "cost/parameters"))
    assert found.contrasts[0].ties == 8


def test_named_subsets_are_paired_by_seed(records: Made) -> None:
    rows = []
    for seed in range(8):
        for subset, gain in ((("three",), 0.0), (("five",), 0.03)):
            rows += pair("explicit", seed, subset[0], 0.9, gain + seed / 1e4, **{"task.categories": subset})
    found = answer(records(rows), Question("task.categories", "gain/accuracy"))
    assert (found.contrasts[0].better, found.contrasts[0].clusters) == ("[five]", 8)
