"""A preview says what a study would do, and leaves nothing behind."""

from pathlib import Path
from typing import Any

import pytest

from selkd.config import Workspace
from selkd.sweeps.preview import Preview, preview

SEARCHED: dict[str, Any] = {
    "task.categories": {"subset": {"size": 3}},
    "student.width": {"choice": [4, 8]},
    "objective.epsilon": {"log": [1, 2]},
}


@pytest.fixture
def look(space: Any, tmp_path: Path) -> Any:
    base = {"teacher": "big", "objective": {"name": "selkd"}, "training": {"epochs": 3}}
    return lambda **changes: preview(
        space(**({"search": SEARCHED, "base": base, "budget": {"candidates": 12, "seeds": 2}} | changes)),
        Workspace(tmp_path),
    )


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
