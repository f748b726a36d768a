"""Who is stopped early, and when: exact rules over reports."""

import math

import pytest

from selkd.sweeps.settings import Asha, HyperBand, Median
from selkd.sweeps.stopping import Report, milestones, verdict

ASHA = Asha(rule="asha", first=0.1, factor=3)


def reports(share: float, *values: float) -> list[Report]:
    return [Report(f"student-{index}", share, value) for index, value in enumerate(values)]


def test_rungs_grow_by_the_factor_and_end_before_the_training_does():
    assert milestones(ASHA, 7) == pytest.approx([0.1, 0.3, 0.9])
    assert milestones(Asha(rule="asha", first=0.5, factor=2), 0) == [0.5]


def test_hyperband_students_take_turns_in_brackets_that_begin_later():
    rule = HyperBand(rule="hyperband", first=0.1, factor=3, brackets=2)
    assert milestones(rule, 0) == pytest.approx([0.1, 0.3, 0.9])
    assert milestones(rule, 1) == pytest.approx([0.3, 0.9])
    assert milestones(rule, 2) == milestones(rule, 0)


@pytest.mark.parametrize("count", range(12))
def test_one_of_factor_students_goes_on_and_the_best_always_does(count):
    """Of n students at a rung, those among the best max(1, n // factor) go on."""
    others = reports(0.1, *(0.01 * k for k in range(count)))
    for better in range(count + 1):
        last = Report("last", 0.1, 0.01 * (count - better) - 0.005)
        stopped = verdict(ASHA, others, last) is not None
        assert stopped == (better >= max(1, (count + 1) // 3))


def test_only_students_at_the_same_share_compete():
    assert verdict(ASHA, reports(0.3, 0.9, 0.9, 0.9, 0.9), Report("last", 0.1, 0.1)) is None


def test_a_student_whose_value_is_no_number_stops():
    assert "not a number" in str(verdict(ASHA, [], Report("last", 0.1, math.nan)))


def test_others_that_are_no_number_beat_nobody():
    assert verdict(ASHA, reports(0.1, math.nan, math.nan), Report("last", 0.1, 0.1)) is None


def test_the_median_rule_waits_for_enough_students_and_then_stops_the_lower_half():
    rule = Median(rule="median", first=0.2, students=3)
    assert verdict(rule, reports(0.2, 0.5, 0.6), Report("last", 0.2, 0.1)) is None
    three = reports(0.2, 0.5, 0.6, 0.7)
    assert verdict(rule, three, Report("last", 0.2, 0.6)) is None
    assert "median 0.6" in str(verdict(rule, three, Report("last", 0.2, 0.59)))


def test_the_median_rule_takes_means_of_the_others_and_the_best_of_this_student():
    rule = Median(rule="median", first=0.2, students=2)
    others = [*reports(0.2, 0.2, 0.4), *reports(0.3, 0.8, 0.6)]  # means 0.5 and 0.5
    assert verdict(rule, [*others, Report("last", 0.2, 0.55)], Report("last", 0.3, 0.1)) is None
    assert verdict(rule, [*others, Report("last", 0.2, 0.45)], Report("last", 0.3, 0.1)) is not None


def test_looks_of_the_median_rule_are_a_tenth_apart():
    assert milestones(Median(rule="median", first=0.75, students=2), 3) == pytest.approx([0.75, 0.85, 0.95])
