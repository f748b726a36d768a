"""What Ray trained is reproduced from its record: students of a study, their twins, and students of several workers."""

from pathlib import Path
from typing import Any

import pytest

import selkd
from selkd.config import Workspace

pytestmark = pytest.mark.slow


def test_students_of_a_study_and_their_twins_are_reproduced(ray: Any, workspace: Workspace):
    study = selkd.sweep(
        {
            "name": "gains",
            "base": {
                "task": {"categories": ["three", "five", "eight"], "mode": "open"},
                "teacher": "teacher",
                "student": {"model": "cnn", "width": 4},
                "objective": "selkd",
                "training": {"epochs": 2, "batch_size": 32},
                "workers": {"device": "cpu"},
            },
            "search": {"objective.epsilon": {"choice": [1.0]}},
            "metrics": {"gain/balanced": "maximise"},
            "budget": {"candidates": 1},
            "concurrent": 1,
        },
        workspace,
    )
    trials = {trial.role: trial.key for trial in study.state.trials.values()}
    assert set(trials) == {"student", "twin"}
    for key in trials.values():
        assert selkd.reproduce(key, workspace, tolerance=0).verdict == "identical"
    assert selkd.promote(trials["student"], workspace=workspace).name == "gains"


def test_a_run_of_two_workers_is_reproduced_by_two_workers(ray: Any, workspace: Workspace, student_file: Path):
    config = selkd.RunConfig.read(student_file, ["workers.count=2", "training.epochs=2"])
    key = selkd.train(config, workspace).key
    assert selkd.reproduce(key, workspace, tolerance=0).verdict == "identical"
