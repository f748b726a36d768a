"""The verdict in words: what leads, what is told, what is not, and by how much."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from selkd.comparison.compare import Question, answer
from selkd.comparison.records import Records

Made = Callable[..., Records]
NAME = "objective.name"


def runs(means: dict[str, float], seeds: int = 10, noise: float = 0.004, **more: Any) -> list[dict[str, Any]]:
    rng = np.random.default_rng(2)
    return [
        {NAME: level, "seed": seed, "validation/accuracy": 0.8, "test/accuracy": mean + rng.normal(0, noise), **more}
        for level, mean in means.items() for seed in range(seeds)
    ]  # fmt: skip


def test_the_leader_is_told_with_what_it_beats_and_what_it_does_not(records: Made) -> None:
    found = answer(records(runs({"a": 0.90, "b": 0.90, "c": 0.80})), Question(NAME))
    leader = found.levels.iloc[0]["level"]
    other = {"a": "b", "b": "a"}[leader]
    told = re.match(rf"On test accuracy, {leader} is better than c \(\+(\S+) points, (\S+) to (\S+)\)", found.verdict)
    assert told, found.verdict
    assert float(told[2]) < float(told[1]) < float(told[3])
    assert "(95 % intervals)" in found.verdict
    assert f"it is not told apart from {other}" in found.verdict


def test_against_a_baseline_better_worse_and_untold_are_listed(records: Made) -> None:
    found = answer(records(runs({"kd": 0.85, "up": 0.90, "down": 0.80, "same": 0.85})), Question(NAME, baseline="kd"))
    assert "better than kd: up (+" in found.verdict
    assert "worse than kd: down (-" in found.verdict
    assert "not told apart from it: same" in found.verdict


def test_nothing_told_names_the_best_mean_and_claims_no_more(records: Made) -> None:
    found = answer(records(runs(dict.fromkeys("abc", 0.8))), Question(NAME))
    assert found.verdict.startswith("No difference is shown between the 3 levels of objective.name on test accuracy")
    assert found.overall is not None
    assert found.overall.friedman is not None
    against = answer(records(runs(dict.fromkeys("abc", 0.8))), Question(NAME, baseline="a"))
    assert against.verdict.startswith("No difference is shown between a and any of b and c")


def test_groups_are_told_beside_the_whole(records: Made) -> None:
    rows = [row for size in (20, 100) for row in runs({"kd": 0.8, "selkd": 0.9}, **{"data.rows_per_category": size})]
    found = answer(records(rows), Question(NAME))
    assert "Within groups: data.rows_per_category=20 +" in found.verdict
    assert found.verdict.count("told") >= 2


def test_costs_are_told_in_their_own_unit(records: Made) -> None:
    rows = [row | {"cost/parameters": 1000.0 + 500 * (row[NAME] == "kd") + row["seed"]} for row in runs(
        {"kd": 0.8, "selkd": 0.8})]  # fmt: skip
    found = answer(records(rows), Question(NAME, "cost/parameters"))
    assert found.verdict.startswith("selkd is lower, which is better, than kd on parameters: -500 (")
    assert "points" not in found.verdict.partition("Exploratory")[0]


@pytest.mark.parametrize("baseline", [None, "a"])
def test_too_few_pairs_for_so_many_contrasts_are_said(records: Made, baseline: str | None) -> None:
    levels = {f"{place}": 0.8 + place / 10 for place in range(4)} | {"a": 0.7}
    found = answer(records(runs(levels, seeds=7)), Question(NAME, baseline=baseline))
    said = [caveat for caveat in found.caveats if "Holm's correction over" in caveat]
    assert bool(said) == (2 / 2**7 * len(found.contrasts) > 0.05)
