"""The demonstration's face: tables that fit a terminal, chosen on validation, and files that are a user's own."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from selkd import demo as library
from selkd.cli import demo, show
from selkd.config import RunConfig
from selkd.sweeps.space import SearchSpace
from selkd.sweeps.state import Candidate, State, Trial
from selkd.sweeps.studies import Study

TEACHER = {"teacher/validation/balanced": 1.0, "teacher/test/balanced": 0.9}
MARGIN = {"policy": "margin", "keep": 0.5}
WIDEST = {"objective.name": "selkd", "objective.epsilon": 4.497, "objective.mass": 0.8043, "selection.samples": MARGIN}


def study(*candidates: tuple[dict[str, Any], list[float], list[float]]) -> Study:
    """The open study after these candidates: parameters, and what their students reached on validation and on test."""
    space = library.spaces()[-1]
    state = State(name=space.name, space=space.model_dump(mode="json", by_alias=True))
    for number, (parameters, validation, test) in enumerate(candidates):
        keys = [f"{number}-{seed}" for seed in range(len(test))]
        for seed, key in enumerate(keys):
            metrics = {"validation/balanced": validation[seed], "test/balanced": test[seed], **TEACHER}
            state.trials[key] = Trial(key, seed, "student", number, "finished", metrics)
        mean = sum(validation) / len(validation)
        state.candidates[number] = Candidate(number, parameters, keys, [], "complete", {"validation/balanced": mean})
    return Study(Path("absent"), state)


def test_a_row_is_chosen_on_validation_and_reported_on_test() -> None:
    better_on_test = (WIDEST | {"objective.epsilon": 1.0}, [0.5, 0.7], [0.9, 0.9])
    better_on_validation = (WIDEST, [0.7, 0.7], [0.4, 0.6])
    teacher, row = library.compared(study(better_on_test, better_on_validation))
    assert teacher == library.Row("teacher", "", {}, (1.0, None), (0.9, None))
    assert (row.objective, row.samples) == ("selkd", "margin")
    assert row.parameters == {"epsilon": 4.497, "mass": 0.8043}
    assert row.validation == pytest.approx((0.7, 0.0))
    assert row.test == pytest.approx((0.5, 0.2 / 2**0.5))


def test_every_objective_and_policy_has_its_row_the_best_first() -> None:
    worse = ({"objective.name": "kd", "objective.temperature": 2.0, "selection.samples": MARGIN}, [0.1], [0.9])
    better = ({"objective.name": "cross-entropy", "selection.samples": {"policy": "all", "keep": 0.5}}, [0.2], [0.1])
    _, *rows = library.compared(study(worse, better))
    assert [(row.objective, row.samples) for row in rows] == [("cross-entropy", "all"), ("kd", "margin")]


def test_a_study_without_a_complete_candidate_has_no_rows() -> None:
    assert library.compared(study()) == []


def test_tables_fit_80_columns_with_the_widest_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    monkeypatch.setattr(show, "out", Console(file=text, width=80))
    objective = {"objective.name": "cross-entropy", "selection.samples": MARGIN}
    found = study((WIDEST, [1.0, 0.8], [0.9, 0.7]), (objective, [0.6, 0.5], [0.6, 0.5]))
    demo._print_table(found, library.compared(found))
    lines = text.getvalue().splitlines()
    assert max(len(line) for line in lines if line[:1] in "┏┃┡│└") <= 80
    [line] = [line for line in lines if "epsilon" in line]
    assert "epsilon=4.5 mass=0.804" in line and "90.0 ± 14.1" in line, "a row is one line"


def test_the_two_studies_have_one_teacher_and_differ_in_their_task() -> None:
    closed, opened = library.spaces()
    assert closed.teacher == opened.teacher
    assert (closed.base["task"]["mode"], opened.base["task"]["mode"]) == ("closed", "open")
    assert set(closed.search) == set(opened.search) - {"objective.mass"}


def test_files_that_a_user_changed_are_kept_and_all_can_be_run(tmp_path: Path) -> None:
    (tmp_path / "open-selkd.yaml").write_text("name: mine\n")
    library.write_files(tmp_path)
    assert (tmp_path / "open-selkd.yaml").read_text() == "name: mine\n"
    (tmp_path / "open-selkd.yaml").unlink()
    library.write_files(tmp_path)
    assert RunConfig.read(tmp_path / "open-selkd.yaml").teacher == RunConfig.read(tmp_path / "teacher.yaml").name
    assert [SearchSpace.read(tmp_path / f"{name}.yaml") for name in library.STUDIES] == library.spaces()
