"""Settings are chosen on validation, and what was chosen is reported on test."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from selkd.comparison.compare import Question, answer
from selkd.comparison.records import Records

Made = Callable[..., Records]
NAME, TEMPERATURE = "objective.name", "objective.temperature"


def student(level: str, seed: int, temperature: float | None, validation: float, test: float) -> dict[str, Any]:
    own = {} if temperature is None else {TEMPERATURE: temperature}
    return {NAME: level, "seed": seed, "validation/accuracy": validation, "test/accuracy": test, **own}


def test_validation_chooses_although_test_would_prefer_another(records: Made) -> None:
    rows = [student("kd", seed, 1.0, 0.90, 0.80) for seed in range(6)]
    rows += [student("kd", seed, 4.0, 0.80, 0.95) for seed in range(6)]
    rows += [student("cross-entropy", seed, None, 0.7, 0.85) for seed in range(6)]
    found = answer(records(rows), Question(NAME))
    kd = found.levels.set_index("level").loc["kd"]
    assert (kd["setting"], kd["settings"]) == ("objective.temperature=1", 2)
    assert (kd["mean"], kd["validation"]) == pytest.approx((0.80, 0.90))
    assert found.contrasts[0].better == "cross-entropy"
    assert found.pairing.tuned == (TEMPERATURE,)
    assert any("Settings tried are unequal (cross-entropy 1 and kd 2)" in c for c in found.caveats)


def test_each_group_chooses_for_itself(records: Made) -> None:
    rows = []
    for rows_, best in ((20, 1.0), (100, 4.0)):
        for temperature in (1.0, 4.0):
            good = temperature == best
            rows += [student("kd", s, temperature, 0.9 if good else 0.8, 0.9 if good else 0.8)
                     | {"data.rows_per_category": rows_} for s in range(3)]  # fmt: skip
        rows += [student("cross-entropy", s, None, 0.7, 0.7) | {"data.rows_per_category": rows_} for s in range(3)]
    found = answer(records(rows), Question(NAME)).levels
    settings = found[found["level"] == "kd"].set_index("group")["setting"].to_dict()
    assert settings == {
        "data.rows_per_category=20": "objective.temperature=1",
        "data.rows_per_category=100": "objective.temperature=4",
    }


def test_within_compares_a_key_that_would_have_been_tuned(records: Made) -> None:
    rows = [student(level, seed, t, 0.8, 0.8) for level in ("kd", "selkd") for seed in range(3) for t in (1.0, 4.0)]
    found = answer(records(rows), Question(NAME, within=(TEMPERATURE,)))
    assert found.pairing.tuned == ()
    assert set(found.levels["group"]) == {"objective.temperature=1", "objective.temperature=4"}


def test_one_lucky_seed_chooses_nothing(records: Made) -> None:
    rows = [student("kd", seed, 1.0, 0.8, 0.8) for seed in range(4)] + [student("kd", 0, 4.0, 0.99, 0.5)]
    rows += [student("selkd", seed, None, 0.8, 0.8) for seed in range(4)]
    found = answer(records(rows), Question(NAME))
    assert found.levels.set_index("level").loc["kd", "setting"] == "objective.temperature=1"
    assert any("1 setting with fewer seeds" in caveat for caveat in found.caveats)


def test_optimism_of_the_best_of_many_equal_settings_is_shown_and_test_is_free_of_it(records: Made) -> None:
    rng = np.random.default_rng(5)
    rows = [student("kd", seed, float(t), *rng.normal(0.8, 0.02, 2)) for t in range(20) for seed in range(5)]
    rows += [student("selkd", seed, None, *rng.normal(0.8, 0.02, 2)) for seed in range(5)]
    found = answer(records(rows), Question(NAME)).levels.set_index("level")
    assert found.loc["kd", "optimism"] > 0.005
    assert found.loc["selkd", "optimism"] == 0
    assert found.loc["kd", "validation"] - found.loc["kd", "mean"] > 0.005


def test_after_an_extension_the_optimism_is_still_that_of_the_choice(records: Made) -> None:
    """Only the first five of ten seeds chose; the later five are as free of it as test values."""
    rng = np.random.default_rng(5)
    rows = [student("kd", seed, float(t), *rng.normal(0.8, 0.02, 2)) for t in range(20) for seed in range(5)]
    rows += [student("selkd", seed, None, *rng.normal(0.8, 0.02, 2)) for seed in range(10)]
    before = answer(records(rows), Question(NAME)).levels.set_index("level").loc["kd"]
    temperature = float(str(before["setting"]).partition("=")[2])
    rows += [student("kd", seed, temperature, *rng.normal(0.8, 0.02, 2)) for seed in range(5, 10)]
    found = answer(records(rows), Question(NAME))
    after = found.levels.set_index("level").loc["kd"]
    assert (after["setting"], after["n"]) == (before["setting"], 10)
    assert after["optimism"] == pytest.approx(before["optimism"] / 2)
    assert after["optimism"] > 0
    assert "Settings were chosen at 5 seeds; those that were got more, 10 in all." in found.caveats
    assert not any("could not be chosen" in caveat for caveat in found.caveats)


def test_optimism_after_an_extension_is_what_it_is_on_average(records: Made) -> None:
    """Equal settings: all that the validation mean of the chosen one is above the truth is flattery."""
    rng, told, there = np.random.default_rng(7), [], []
    for _ in range(40):
        rows = [student("kd", seed, float(t), *rng.normal(0, 0.02, 2)) for t in range(8) for seed in range(6)]
        chosen = max(range(8), key=lambda t: np.mean([row["validation/accuracy"] for row in rows[6 * t : 6 * t + 6]]))
        rows += [student("kd", seed, float(chosen), *rng.normal(0, 0.02, 2)) for seed in range(6, 9)]
        found = answer(records(rows), Question(NAME)).levels.iloc[0]
        told.append(found["optimism"])
        there.append(found["validation"])
    error = np.std(there) / np.sqrt(len(there))
    assert np.mean(told) == pytest.approx(np.mean(there), abs=3 * error)
    assert error < 0.2 * np.mean(there)


def test_a_setting_that_is_left_because_better_ones_failed_was_not_chosen(records: Made) -> None:
    rows = [student("kd", seed, 1.0, 0.8, 0.8) for seed in range(4)]
    rows += [student("kd", seed, 4.0, 0.9, 0.9) for seed in range(3)]
    rows += [student("selkd", seed, None, 0.8, 0.8) for seed in range(4)]
    found = answer(records(rows), Question(NAME))
    assert found.levels.set_index("level").loc["kd", "optimism"] == 0
    assert "1 setting with fewer seeds than others could not be chosen." in found.caveats


def test_a_student_without_validation_chooses_nothing_and_is_named(records: Made) -> None:
    rows = [student("kd", seed, t, 0.8 if t == 1 else float("nan"), 0.8) for seed in range(3) for t in (1.0, 4.0)]
    rows += [student("selkd", seed, None, 0.8, 0.8) for seed in range(3)]
    found = answer(records(rows), Question(NAME))
    assert found.levels.set_index("level").loc["kd", "setting"] == "objective.temperature=1"
    assert set(found.left_out["reason"]) == {"no validation/accuracy to choose a setting by"}


def test_values_of_validation_are_called_optimistic(records: Made) -> None:
    rows = [student(level, seed, None, 0.8, 0.7) for level in ("kd", "selkd") for seed in range(3)]
    found = answer(records(rows), Question(NAME, "validation/accuracy"))
    assert found.metric.words == "validation accuracy"
    assert any("optimistic" in caveat for caveat in found.caveats)
