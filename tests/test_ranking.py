"""Ranking the teachers of a repository for a task: order, what is spent, what is kept, and the command."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from selkd import models
from selkd.cli import teachers as command
from selkd.config import RunConfig, Workspace
from selkd.data import load
from selkd.errors import UserError
from selkd.models.card import WEIGHTS
from selkd.models.classifier import Classifier
from selkd.models.teachers import TeacherRepository
from selkd.ranking import rank
from selkd.training.run import train

TASK: dict[str, Any] = {
    "data": {"source": "digits", "rows_per_category": 20},
    "task": {"categories": ["three", "five"]},
    "student": {"model": "mlp", "hidden": [4]},
    "training": {"epochs": 1, "batch_size": 8},
    "workers": {"device": "cpu"},
    "semantics": "zero-one",
}
ROWS = 2 * 20


def at(level: int, **changes: Any) -> RunConfig:
    teachers = {"policy": "transport", "level": level, "steps": 20, **changes}
    return RunConfig.model_validate(TASK | {"selection": {"teachers": teachers}})


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A teacher that read the task's categories well, one that knows others, and a broken one."""
    monkeypatch.setenv("SELKD_WORKSPACE", str(tmp_path))
    workspace, repository = Workspace(tmp_path), TeacherRepository(tmp_path / "teachers")
    data = load("digits", root=workspace.data)
    images = data.train.pixels(torch.arange(len(data.train))).float() / 255
    for name, known in {"near": ("five", "three", "one"), "far": ("two", "seven"), "broken": ("three", "five")}.items():
        torch.manual_seed(0)
        network = models.build("mlp", channels=1, outputs=len(known), image_size=8, hidden=[16])
        classifier = Classifier(network, data.mean, data.std)
        ids = torch.tensor([data.categories.index(category) for category in known])
        rows = torch.isin(data.train.labels, ids).nonzero().flatten()
        labels = (data.train.labels[rows][:, None] == ids).long().argmax(1)
        optimiser = torch.optim.Adam(network.parameters(), 0.05)
        for _ in range(60):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(classifier(images[rows]), labels).backward()
            optimiser.step()
        repository.save(
            name, classifier.eval(), categories=known, architecture="mlp", settings={"hidden": [16]}, channels=1,
            image_size=8, data={"name": "digits", "fingerprint": data.fingerprint}, accuracy={},
            validation_accuracy=0.9,
        )  # fmt: skip
    (repository.path("broken") / WEIGHTS).write_bytes(b"cut")
    return workspace


def test_the_teacher_of_the_tasks_categories_is_first_and_a_broken_one_is_skipped(workspace: Workspace) -> None:
    found = rank(at(1), workspace)
    assert list(found.table.index) == ["near", "far"]
    assert "does not match the checksum" in found.skipped["broken"]
    cost = found.table["cost"].to_dict()
    assert cost["far"] == pytest.approx(1)
    assert cost["near"] < 0.2
    for score in ("overlap", "leep", "nce"):
        scores = found.table[score].to_dict()
        assert scores["near"] > scores["far"]
    assert {"random", "accuracy", "logme"} <= set(found.table.columns)


def test_level_0_asks_nobody(workspace: Workspace) -> None:
    found = rank(at(0), workspace)
    assert found.spent["passes"] == found.spent["updates of a student"] == 0
    assert {"leep", "nce", "logme"}.isdisjoint(found.table.columns)
    assert set(found.table.index) == {"near", "far", "broken"}
    assert not list(workspace.evidence.glob("*/logits.npy"))


def test_level_1_takes_one_forward_pass_a_row_and_level_2_one_student_for_all(workspace: Workspace) -> None:
    found = rank(at(1), workspace)
    assert dict(found.table["passes"]) == {"near": ROWS, "far": ROWS}
    assert found.spent["updates of a student"] == 0
    found = rank(at(2), workspace)
    assert dict(found.table["passes"]) == {"near": ROWS, "far": ROWS}
    assert found.spent["updates of a student"] == 20
    assert list(found.table["level 2"].dropna().index) == ["near", "far"]


def test_what_was_asked_is_not_asked_again(workspace: Workspace) -> None:
    first = rank(at(2), workspace)
    before = sorted(path.name for path in workspace.evidence.iterdir())
    second = rank(at(2), workspace)
    assert sorted(path.name for path in workspace.evidence.iterdir()) == before
    assert first.table.equals(second.table)
    assert first.folder == second.folder


def test_only_training_rows_are_shown(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from selkd.training.setup import Setup

    of = Setup.of

    def blind(*given: Any) -> Setup:
        setup = of(*given)
        for part in (setup.splits.validation, setup.splits.test):
            monkeypatch.setattr(type(part), "pixels", _only(setup.splits.train.rows, setup.splits.train.index))
        return setup

    monkeypatch.setattr(Setup, "of", blind)
    assert list(rank(at(1), workspace).table.index) == ["near", "far"]


def _only(rows: Any, allowed: torch.Tensor) -> Any:
    def pixels(part: Any, positions: torch.Tensor) -> torch.Tensor:
        assert torch.isin(part.index[positions], allowed).all()
        return rows.pixels(part.index[positions])

    return pixels


def test_a_run_learns_from_the_teacher_that_ranks_first(workspace: Workspace) -> None:
    config = at(1).model_dump(mode="json") | {"objective": "transport"}
    trained = train(config, workspace)
    chosen = json.loads((trained.folder / "selection.json").read_text())["teachers"]
    assert chosen["chosen"] == {"near": 1.0}
    assert chosen["scores"]["near"] > chosen["scores"]["far"]


def test_open_tasks_are_ranked_too(workspace: Workspace) -> None:
    task = {"task": {"categories": ["three", "five"], "mode": "open"}}
    found = rank(at(1).model_dump(mode="json") | task, workspace)
    assert set(found.plans["near"].columns) == {"three", "five", "not selected"}


def test_the_command_keeps_numbers_and_a_picture(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(json.dumps(TASK))
    command.rank(path, json=True)
    found = json.loads(capsys.readouterr().out)
    assert [line["teacher"] for line in found["teachers"]] == ["near", "far"]
    kept = json.loads((Path(found["folder"]) / "ranking.json").read_text())
    assert [line["teacher"] for line in kept["teachers"]] == ["near", "far"]
    assert (Path(found["folder"]) / "transport.png").read_bytes().startswith(b"\x89PNG")
    command.rank(path)
    shown = capsys.readouterr()
    assert "near" in shown.out and "transport.png" in shown.out and "skipped" in shown.err
    for name in ("level 1", "passes", "overlap", "logme", "accuracy"):
        assert name in shown.out, "headings are whole in a terminal of 80 columns"


def test_without_teachers_there_is_no_ranking(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the repository holds no teacher"):
        rank(TASK, Workspace(tmp_path))


@pytest.mark.slow
def test_several_processes_give_the_ranking_that_one_gives(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(json.dumps(TASK))
    command.rank(path, cpus=2, json=True)
    several = json.loads(capsys.readouterr().out)["teachers"]
    for logits in workspace.evidence.glob("*/logits.npy"):
        shutil.rmtree(logits.parent)
    command.rank(path, json=True)
    assert json.loads(capsys.readouterr().out)["teachers"] == several
