"""Ranking the teachers of a repository for a task: order, what is spent, what is kept, and the command."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
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
    teachers = {"policy": "transport", "level": level, **({"steps": 20} if level == 2 else {}), **changes}
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
    assert found.spent["passes for answers"] == found.spent["updates of a student"] == 0
    assert {"leep", "nce", "logme"}.isdisjoint(found.table.columns)
    assert set(found.table.index) == {"near", "far", "broken"}
    assert not list(workspace.evidence.glob("*/logits.npy"))


def test_level_1_takes_one_forward_pass_a_row_and_level_2_one_student_for_all(workspace: Workspace) -> None:
    found = rank(at(2), workspace)
    assert dict(found.table["passes"]) == {"near": ROWS, "far": ROWS}
    assert found.spent["passes for semantics"] == 0
    assert found.spent["passes for answers"] == found.spent["passes of other scores"] == 2 * ROWS
    assert found.spent["updates of a student"] == 20
    assert list(found.table["level 2"].dropna().index) == ["near", "far"]


def test_what_semantics_ask_of_networks_is_counted(workspace: Workspace) -> None:
    config = at(0).model_dump(mode="json") | {"semantics": {"source": "classifier-rows", "rows": 3}}
    found = rank(config, workspace)
    assert found.spent["passes for semantics"] == 2 * 10 * 3, "two teachers, ten categories of the data"
    assert dict(found.table["passes"]) == {"near": 30, "far": 30}
    assert rank(config, workspace).spent["passes for semantics"] == 0


def test_what_was_asked_is_not_asked_again(workspace: Workspace) -> None:
    first = rank(at(2), workspace)
    before = sorted(path.name for path in workspace.evidence.iterdir())
    second = rank(at(2), workspace)
    assert sorted(path.name for path in workspace.evidence.iterdir()) == before
    assert first.table.drop(columns="passes").equals(second.table.drop(columns="passes"))
    assert not any(spent for name, spent in second.spent.items() if not name.startswith("seconds"))
    assert first.folder == second.folder


SEMANTICS = [{"source": "zero-one"}, {"source": "classifier-rows"}, {"source": "prototypes", "encoder": "near"}]


@pytest.mark.parametrize("semantics", SEMANTICS, ids=lambda one: one["source"])
def test_only_training_rows_are_shown(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, semantics: dict[str, str]
) -> None:
    from selkd.training.setup import Setup

    of = Setup.of

    def blind(*given: Any) -> Setup:
        setup = of(*given)
        for part in (setup.splits.validation, setup.splits.test):
            monkeypatch.setattr(type(part), "pixels", _only(setup.splits.train.rows, setup.splits.train.index))
        return setup

    monkeypatch.setattr(Setup, "of", blind)
    found = rank(at(1).model_dump(mode="json") | {"semantics": semantics}, workspace)
    assert sorted(found.table.index) == ["far", "near"]


@pytest.mark.parametrize("semantics", SEMANTICS, ids=lambda one: one["source"])
@pytest.mark.parametrize("level", [1, 2])
def test_a_broken_teacher_is_skipped_whatever_is_asked_first(
    workspace: Workspace, level: int, semantics: dict[str, str]
) -> None:
    found = rank(at(level).model_dump(mode="json") | {"semantics": semantics}, workspace)
    assert sorted(found.table.index) == ["far", "near"]
    assert set(found.skipped) == {"broken"}


@pytest.mark.parametrize("policy", ["transport", "leep", "nce", "logme", "accuracy", "overlap"])
def test_a_run_leaves_a_broken_teacher_out_and_says_so(workspace: Workspace, policy: str) -> None:
    tree = TASK | {"objective": "transport", "selection": {"teachers": policy}}
    trained = train(tree, workspace)
    found = json.loads((trained.folder / "selection.json").read_text())["teachers"]
    assert list(found["chosen"]) in (["near"], ["far"])
    assert "does not match the checksum" in found["skipped"]["broken"]


def test_where_every_teacher_is_broken_the_error_says_why(workspace: Workspace) -> None:
    for name in ("near", "far"):
        (workspace.teachers / name / WEIGHTS).write_bytes(b"cut")
    for policy in ("leep", "accuracy"):
        with pytest.raises(UserError, match=r"no teacher can be (asked|used): .*does not match the checksum"):
            train(TASK | {"objective": "transport", "selection": {"teachers": policy}}, workspace)


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("mode", ["closed", "open"])
def test_the_picture_shows_the_plans_whose_costs_rank(workspace: Workspace, level: int, mode: str) -> None:
    config = at(level, epsilon=0.2).model_dump(mode="json")
    config["task"]["mode"] = mode
    found = rank(config, workspace)
    labels = pd.Series({"three": 0.5, "five": 0.5} if mode == "closed" else {"three": 0.1, "five": 0.1})
    for name, plan in found.plans.items():
        assert plan.to_numpy().sum() == pytest.approx(1, abs=1e-5)
        if level < 2:
            assert plan[["three", "five"]].sum().to_dict() == pytest.approx(labels.to_dict(), abs=1e-5)
        known = [[float(a != b) for b in plan.columns] for a in plan.index]  # zero-one: the largest cost is 1
        if mode == "closed":
            assert (plan.to_numpy() * known).sum() == pytest.approx(found.table.loc[name, "cost"], abs=1e-4)


def test_other_scores_are_those_by_which_the_policies_choose(workspace: Workspace) -> None:
    found = rank(at(1), workspace).table
    for policy in ("random", "leep", "logme"):
        trained = train(TASK | {"objective": "transport", "selection": {"teachers": policy}}, workspace)
        chosen = json.loads((trained.folder / "selection.json").read_text())["teachers"]["scores"]
        assert {name: chosen[name] for name in found.index} == found[policy].to_dict()


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


@pytest.mark.parametrize(
    "said", [{"teacher": "near", "objective": "transport"}, {"objective": "transport"}, {"objective": "kd"}, {}]
)
def test_a_run_is_ranked_for_whatever_it_says_of_its_teacher(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str], said: dict[str, str]
) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(json.dumps(TASK | said))
    command.rank(path, overrides=["selection.teachers.policy=transport", "selection.teachers.level=1"], json=True)
    assert json.loads(capsys.readouterr().out)["teachers"][0]["teacher"] == "near"


def test_more_teachers_than_come_through_the_funnel_are_refused() -> None:
    with pytest.raises(ValueError, match=r"4 teachers are asked for, and second: 2 come so far. Raise second"):
        at(2, number=4, second=2)


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
    shutil.rmtree(workspace.evidence)
    command.rank(path, json=True)
    assert json.loads(capsys.readouterr().out)["teachers"] == several
