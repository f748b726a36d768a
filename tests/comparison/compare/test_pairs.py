"""Pairs: a planted difference is found and a null one is not; a pair shares what it should, or it is said why not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from selkd.comparison.compare import Question, answer
from selkd.comparison.records import Records
from selkd.comparison.result import ALL, Comparison
from selkd.errors import UserError

Made = Callable[..., Records]
NAME = "objective.name"


def runs(
    gap: float = 0.0, seeds: int = 10, levels: tuple[str, ...] = ("kd", "selkd"), more: dict[str, Any] | None = None
) -> list[Any]:
    """Students whose luck is large and shared by the seed; the second level is better by `gap`, give or take little."""
    rng = np.random.default_rng(3)
    luck = rng.normal(0.8, 0.05, seeds)
    return [
        {NAME: level, "seed": seed, "test/accuracy": luck[seed] + gap * place + rng.normal(0, 0.003),
         "validation/accuracy": 0.8, "cost/row_gradients": 100.0, **(more or {})}
        for place, level in enumerate(levels)
        for seed in range(seeds)
    ]  # fmt: skip


def ask(records: Records, **question: Any) -> Comparison:
    asked: dict[str, Any] = {"by": NAME} | question
    return answer(records, Question(**asked))


def test_a_planted_difference_is_told_although_luck_is_larger(records: Made) -> None:
    found = ask(records(runs(gap=0.02)))
    [contrast] = found.contrasts
    assert (contrast.better, contrast.pairs, contrast.level) == ("selkd", 10, "selkd")
    assert contrast.difference == pytest.approx(0.02, abs=0.004)
    assert contrast.low < 0.02 < contrast.high
    assert found.verdict.startswith("selkd is better than kd on test accuracy: +")
    assert contrast.marks == "**"


def test_no_difference_is_claimed_where_there_is_none_and_the_seeds_that_would_tell_are_named(records: Made) -> None:
    found = ask(records(runs(gap=0.0)), difference=0.001)
    assert found.contrasts[0].better is None
    assert found.verdict.startswith("No difference is shown between")
    assert "more seeds, a difference of 0.1 points would be told with 80 % power" in found.verdict


def test_a_pair_has_the_same_seed_whatever_the_order_of_the_runs(records: Made) -> None:
    rows = runs(gap=0.01)
    shuffled = [rows[k] for k in np.random.default_rng(0).permutation(len(rows))]
    found = ask(records(shuffled))
    wanted = {str(row["seed"]): row["test/accuracy"] for row in rows if row[NAME] == "kd"}
    assert found.units["kd"].droplevel(["group", "cell", "split"]).to_dict() == wanted
    assert found.contrasts[0] == ask(records(rows)).contrasts[0]


def test_groups_are_compared_by_themselves_and_together(records: Made) -> None:
    rows = runs(0.02, more={"data.rows_per_category": 20}) + runs(-0.02, more={"data.rows_per_category": 100})
    found = ask(records(rows))
    told = {
        contrast.group: contrast.difference * (1 if contrast.level == "selkd" else -1) for contrast in found.contrasts
    }
    assert told["data.rows_per_category=20"] == pytest.approx(0.02, abs=0.004)
    assert told["data.rows_per_category=100"] == pytest.approx(-0.02, abs=0.004)
    assert told[ALL] == pytest.approx(0, abs=0.004)
    whole = next(contrast for contrast in found.contrasts if contrast.group == ALL)
    assert (whole.pairs, whole.clusters) == (20, 10), "a seed that two groups share is one piece of luck"
    assert "over 1 contrast over all groups" in found.family
    assert "2 contrasts within single groups" in found.family


def test_holm_corrects_over_the_contrasts_of_all_levels(records: Made) -> None:
    found = ask(records(runs(levels=("a", "b", "c"))))
    raw = sorted(contrast.p or 0 for contrast in found.contrasts)
    adjusted = sorted(contrast.adjusted or 0 for contrast in found.contrasts)
    assert adjusted[0] == pytest.approx(min(1, 3 * raw[0]))
    assert found.overall is not None
    assert found.overall.blocks == 10
    against = ask(records(runs(levels=("a", "b", "c"))), baseline="a")
    assert [contrast.against for contrast in against.contrasts] == ["a", "a"]


def test_smaller_is_better_where_the_metric_says_so(records: Made) -> None:
    rows = [{**row, "test/nll": row["test/accuracy"], "validation/nll": 0.5} for row in runs(gap=0.02)]
    found = ask(records(rows), metric="nll")
    assert found.contrasts[0].better == "kd"
    assert found.levels.iloc[0]["level"] == "kd"
    assert "kd is lower, which is better, than selkd" in found.verdict
    assert (found.contrasts[0].wins, found.contrasts[0].losses) == (10, 0)


def test_a_missing_side_leaves_the_pair_out_and_is_said(records: Made) -> None:
    rows = runs(gap=0.02)
    rows[3]["test/accuracy"] = float("nan")
    del rows[5]
    found = ask(records(rows))
    assert found.contrasts[0].pairs == 8
    assert any("kd is missing in 2 pairs of 10" in caveat for caveat in found.caveats)
    assert list(found.left_out["reason"]) == ["test/accuracy is missing or no number"]


def test_five_pairs_one_split_one_seed_and_one_level_say_what_they_cannot(records: Made) -> None:
    five = ask(records(runs(gap=0.05, seeds=5)))
    assert five.contrasts[0].better is None
    assert any("0.0625" in caveat for caveat in five.caveats)
    assert any("training randomness only" in caveat for caveat in five.caveats)
    one = ask(records(runs(gap=0.05, seeds=1)))
    assert any("one seed" in caveat for caveat in one.caveats)
    assert one.contrasts[0].p == 1
    alone = ask(records(runs(levels=("kd",))))
    assert "has one value here, kd" in alone.verdict
    assert (alone.contrasts, alone.overall, len(alone.levels)) == ([], None, 1)


def test_many_splits_count_as_luck_of_their_own(records: Made) -> None:
    rows = [row | {"data.seed": split} for split in range(6) for row in runs(gap=0.02, seeds=2)]
    found = ask(records(rows))
    assert (found.contrasts[0].pairs, found.contrasts[0].clusters) == (12, 6)
    assert found.pairing.clusters == "split"
    few = ask(records([row for row in rows if row["data.seed"] < 3]))
    assert few.contrasts[0].clusters == 6
    assert any("3 splits are too few" in caveat for caveat in few.caveats)


def test_what_nothing_shares_is_named(records: Made) -> None:
    rows = [row | {"student.width": 8 if row[NAME] == "kd" else 16} for row in runs()]
    found = ask(records(rows))
    assert found.verdict.startswith("Nothing can be said: no two levels")
    assert any("No two levels share a value of student.width" in caveat for caveat in found.caveats)


def test_settings_of_the_compared_component_are_tuned_not_paired(records: Made) -> None:
    rows = [row | ({"student.model": "cnn", "student.width": 8} if row[NAME] == "kd" else {"student.model": "mlp"})
            for row in runs(gap=0.02)]  # fmt: skip
    assert ask(records(rows), by="student.model").contrasts[0].pairs == 10


def test_a_key_that_goes_with_the_levels_is_named(records: Made) -> None:
    rows = [row | {"training.optimiser.lr": 0.1 if row[NAME] == "kd" else 0.2} for row in runs()]
    found = ask(records(rows))
    assert any("training.optimiser.lr goes with objective.name (kd 0.1 and selkd 0.2)" in c for c in found.caveats)


def test_unequal_budgets_are_marked(records: Made) -> None:
    rows = [row | {"cost/rows_scored": 2.0 if row[NAME] == "kd" else 0.0} for row in runs()]
    found = ask(records(rows))
    assert dict(zip(found.levels["level"], found.levels["unequal"], strict=True)) == {"kd": True, "selkd": False}
    assert any("Budgets are unequal" in caveat for caveat in found.caveats)


def test_unequal_times_are_marked_and_those_that_a_clock_may_differ_by_are_not(records: Made) -> None:
    made = records(runs())
    assert not any("Times are unequal" in caveat for caveat in ask(made).caveats)
    longer = made.config[NAME] == "selkd"
    made.trials.loc[longer, "began"] -= pd.Timedelta(seconds=30)
    assert "Times are unequal: selkd 60 s a student by the clock, against 30 s of kd." in ask(made).caveats


def test_a_student_that_two_studies_trained_counts_once(records: Made) -> None:
    rows = runs(gap=0.02)
    again = [row | {"study": "two"} for row in rows[:4]]
    found = ask(records(rows + again))
    assert found.contrasts[0].pairs == 10
    assert list(found.left_out["key"]) == [f"one-{k}" for k in range(4)]
    assert any("2 studies" in caveat for caveat in found.caveats)
    assert ask(records(rows + again), by="study").contrasts[0].pairs == 4


def test_studies_may_differ_in_what_goes_with_them(records: Made) -> None:
    rows = [{**row, "study": f"width {row[NAME]}", NAME: "kd", "student.width": 8 if row[NAME] == "kd" else 16}
            for row in runs(gap=0.02)]  # fmt: skip
    found = ask(records(rows), by="study")
    assert found.contrasts[0].pairs == 10
    assert any("student.width goes with study (width kd 8 and width selkd 16)" in caveat for caveat in found.caveats)


def test_runs_of_no_candidate_are_compared(records: Made) -> None:
    found = ask(records([row | {"candidate": None} for row in runs(gap=0.02)]))
    assert found.contrasts[0].better == "selkd"


def test_luck_cannot_be_asked_about_nor_hundreds_of_values(records: Made) -> None:
    with pytest.raises(UserError, match="luck"):
        ask(records(runs()), by="seed")
    many = [row | {"objective.epsilon": float(place)} for place, row in enumerate(runs(seeds=30))]
    with pytest.raises(UserError, match="60 values"):
        ask(records(many), by="objective.epsilon")


def test_no_interval_of_shares_is_wider_than_shares_can_differ(records: Made) -> None:
    rows = [
        {NAME: level, "seed": seed, "test/accuracy": value, "validation/accuracy": value}
        for level, values in (("kd", (0.1, 0.9)), ("selkd", (0.9, 0.1)))
        for seed, value in enumerate(values)
    ]
    [contrast] = ask(records(rows)).contrasts
    assert (contrast.low, contrast.high) == (-1, 1)
    levels = ask(records(rows)).levels
    assert set(zip(levels["low"], levels["high"], strict=True)) == {(0, 1)}
