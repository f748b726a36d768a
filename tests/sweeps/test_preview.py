"""A preview says what a study would do, and leaves nothing behind."""

import os
from pathlib import Path
from typing import Any

import pytest

from selkd.config import Workspace
from selkd.errors import UserError
from selkd.sweeps.preview import Preview, preview

SEARCHED: dict[str, Any] = {
    "task.categories": {"subset": {"size": 3}},
    "student.width": {"choice": [4, 8]},
    "objective.epsilon": {"log": [1, 2]},
}


@pytest.fixture
def look(space: Any, tmp_path: Path) -> Any:
    base = {"teacher": "big", "objective": {"name": "selkd"}, "training": {"epochs": 3}}
    own = {"search": SEARCHED, "base": base, "budget": {"candidates": 12, "seeds": 2}}

    def looked(**changes: Any) -> Preview:
        asked = own | changes
        taught = {"teacher": {"name": "big"}} if "teacher" in asked["base"] else {}
        return preview(space(**asked, **taught), Workspace(tmp_path))

    return looked


def test_a_preview_shows_size_candidates_and_cost(look: Any, tmp_path: Path) -> None:
    found: Preview = look(concurrent=2)
    assert str(found.size) == "infinite (1 range)"
    assert set(found.candidates) == set(SEARCHED)
    assert len(found.candidates) == 10
    assert (found.students, found.twins) == (24, 0)
    assert found.hours == pytest.approx(24 * found.seconds_per_student / 2 / 3600)
    assert found.bytes is not None and found.bytes > 24 * 350_000
    assert found.notes and "'big' is not taught yet" in found.notes[0]
    assert not (tmp_path / "runs").exists()


def test_whole_numbers_that_some_candidates_lack_stay_whole(look: Any) -> None:
    search = {"student.model": {"choice": ["cnn", "mlp"]}, "student.width": {"choice": [4, 8]}}
    found = look(base={}, search=search).candidates["student.width"].dropna()
    assert [type(width) for width in found] == [int, int]


def test_twins_are_counted_where_gains_are_asked_for(look: Any) -> None:
    found = look(metrics={"gain/accuracy": "maximise"})
    assert 0 < found.twins <= found.students


def test_more_training_takes_longer(look: Any) -> None:
    short, long = (
        look(base={"training": {"epochs": epochs}}, search={"student.width": {"choice": [8]}}) for epochs in (1, 200)
    )
    assert short.students == long.students == 2, "the space has one candidate"
    assert long.seconds_per_student > 5 * short.seconds_per_student


def test_a_budget_of_hours_bounds_what_is_estimated(look: Any) -> None:
    found = look(budget={"hours": 1e-6})
    assert (found.hours, found.students) == (1e-6, None)


@pytest.mark.parametrize("equal", ["epochs", "steps"])
def test_policies_that_need_many_steps_are_previewed(look: Any, equal: str) -> None:
    policy = {"policy": "el2n", "keep": 0.5, "rounds": 3, "equal": equal}
    found = look(base={"training": {"epochs": 20}}, search={"selection.samples": {"choice": [policy]}})
    assert (found.students, found.notes) == (2, [])
    assert found.seconds_per_student > 0


def test_a_sampled_candidate_that_cannot_be_trained_is_noted(look: Any) -> None:
    sizes = {"training.batch_size": {"choice": [32, 100_000]}}
    found = look(base={}, search=sizes, defaults=False)
    assert len(found.candidates) == 2
    assert [note for note in found.notes if "training.batch_size: 100000 is more than" in note]
    with pytest.raises(UserError, match=r"none of 1 sampled candidates can be trained.*batch_size: 100000"):
        look(base={}, search={"training.batch_size": {"choice": [100_000]}})


def test_a_space_that_the_data_leave_empty_is_refused(look: Any) -> None:
    """The forbidden combination names a subset, which is known only with the data."""
    searched = {"task.categories": {"subset": {"size": 2, "among": ["one", "two", "three"]}}}
    forbid = [{"task.categories": names} for names in (["one", "two"], ["one", "three"], ["two", "three"])]
    with pytest.raises(UserError, match="the space has no candidate"):
        look(base={}, search=searched, forbid=forbid)


@pytest.mark.parametrize(
    ("policies", "noted"),
    [
        (["margin", "entropy"], True),
        (["margin", {"policy": "entropy", "keep": 0.5}], True),
        (["margin", {"policy": "all", "keep": 0.5}], False),
        (["margin"], False),
    ],
)
def test_controls_are_offered_where_policies_of_rows_are_compared_without(
    look: Any, policies: list[Any], noted: bool
) -> None:
    found = look(search={"selection.samples": {"choice": policies}})
    assert any("Add all and random, at the same keep" in note for note in found.notes) == noted


@pytest.mark.parametrize(("most", "noted"), [(10, True), (1e9, False)])
def test_a_cost_that_no_measured_candidate_keeps_to_is_noted(look: Any, most: float, noted: bool) -> None:
    found = look(constraints={"cost/multiply_adds": {"at_most": most}})
    assert any("measured candidates keeps cost/multiply_adds" in note for note in found.notes) == noted


@pytest.mark.parametrize(("seeds", "noted"), [(5, True), (6, False)])
def test_looks_at_which_nothing_can_be_told_are_noted(look: Any, seeds: int, noted: bool) -> None:
    """Two to the power of 1 - n is the smallest p-value of n pairs."""
    comparison = {"by": "student.width", "looks": [seeds]}
    found = look(comparison=comparison, budget={"candidates": 12, "seeds": seeds})
    assert any(f"at {seeds} seeds no p-value is small enough" in note for note in found.notes) == noted


def test_a_warm_start_from_no_study_is_refused(look: Any) -> None:
    with pytest.raises(UserError, match="no study 'earlier'"):
        look(warm_start="earlier")


def test_a_worker_that_does_not_fit_here_is_noted(look: Any) -> None:
    found = look(base={"workers": {"cpus": 4096, "device": "cpu"}}, search={"student.width": {"choice": [4]}})
    assert any("Not even one student fits on this machine" in note for note in found.notes)


def test_students_at_once_are_those_whose_workers_fit(look: Any) -> None:
    base = {"workers": {"count": 2, "cpus": 1, "device": "cpu"}}
    search = {"student.width": {"choice": [4, 8]}}
    cores = os.cpu_count() or 1
    assert look(base=base, search=search).concurrent == max(cores, 2) // 2
    assert look(base=base, search=search, concurrent=100).concurrent == max(cores, 2) // 2
    assert look(base={}, search=search, concurrent=1).concurrent == 1
