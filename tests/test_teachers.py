"""What becomes a teacher: finished students, teachers from elsewhere, described weights; and the commands."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

from selkd import models
from selkd.cli import teachers as command
from selkd.config import Workspace
from selkd.errors import UserError
from selkd.models.card import CARD, WEIGHTS
from selkd.models.classifier import Classifier
from selkd.models.teachers import TeacherRepository
from selkd.models.weights import write_weights
from selkd.teachers import add
from selkd.tracking import StudentCard, TrialRecord, save_student

NAMES = ("three", "five")
DESCRIPTION: dict[str, Any] = {
    "categories": ["three", "five"],
    "architecture": "mlp",
    "settings": {"hidden": [4]},
    "channels": 1,
    "image_size": 8,
    "mean": [0.5],
    "std": [0.25],
    "data": {"name": "digits", "fingerprint": "d" * 64},
    "accuracy": {"three": 0.75, "five": 0.25},
    "validation_accuracy": 0.5,
}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("SELKD_WORKSPACE", str(tmp_path / "workspace"))
    return Workspace.default()


@pytest.fixture
def run(workspace: Workspace) -> Callable[..., str]:
    """Record a student that trained, as if it had."""

    def recorded(key: str = "animals-1", mode: str = "closed", status: Any = "finished") -> str:
        torch.manual_seed(0)
        network = models.build("mlp", channels=1, outputs=2 + (mode == "open"), image_size=8, hidden=[4])
        record = TrialRecord(workspace.runs / key)
        config = {"name": "animals", "data": {"source": "digits"}}
        record.begin(key, "animals", config, {}, {"fingerprints": {"data": "d" * 64}})
        card = StudentCard(
            categories=NAMES, mode=mode, architecture="mlp", settings={"hidden": [4]}, channels=1, image_size=8,  # pyright: ignore
            mean=(0.5,), std=(0.25,), threshold=None,
        )  # fmt: skip
        save_student(record.folder / "student", Classifier(network, [0.5], [0.25]), card)
        accuracy = {"accuracy": 0.5, "accuracy/three": 0.75, "accuracy/five": 0.25}
        record.finish(status, {f"validation/{name}": value for name, value in accuracy.items()}, None)
        return key

    return recorded


def test_a_finished_student_becomes_a_teacher_of_its_categories(run: Callable[..., str], workspace: Workspace):
    card = add(run())
    assert (card.name, card.categories, card.data.name) == ("animals", NAMES, "digits")
    assert (card.accuracy, card.validation_accuracy) == ({"three": 0.75, "five": 0.25}, 0.5)
    teacher = TeacherRepository(workspace.teachers).load("animals")
    torch.manual_seed(0)
    network = models.build("mlp", channels=1, outputs=2, image_size=8, hidden=[4])
    images = torch.rand(3, 1, 8, 8)
    assert torch.equal(teacher.logits(images), Classifier(network, [0.5], [0.25])(images))


def test_its_folder_and_its_students_folder_name_a_run_too(run: Callable[..., str], workspace: Workspace):
    folder = workspace.runs / run()
    assert add(str(folder), "one").weights_sha256 == add(str(folder / "student"), "two").weights_sha256


@pytest.mark.parametrize(
    ("described", "message"),
    [({"mode": "open"}, "answers \"not selected\""), ({"status": "failed"}, "it failed")],
)  # fmt: skip
def test_students_that_cannot_teach_are_refused(run: Callable[..., str], described: dict[str, str], message: str):
    with pytest.raises(UserError, match=message):
        add(run(**described))


def test_a_folder_of_another_repository_is_copied_whole(run: Callable[..., str], workspace: Workspace, tmp_path: Path):
    first = add(run())
    elsewhere = tmp_path / "usb"
    shutil.copytree(workspace.teachers / "animals", elsewhere)
    TeacherRepository(workspace.teachers).remove("animals")
    assert add(str(elsewhere)) == first
    (elsewhere / WEIGHTS).write_bytes(b"cut")
    with pytest.raises(UserError, match="does not match weights_sha256"):
        add(str(elsewhere), "again")


def test_weights_need_a_description_that_fits(workspace: Workspace, tmp_path: Path):
    network = models.build("mlp", channels=1, outputs=2, image_size=8, hidden=[4])
    write_weights(tmp_path / "zoo.safetensors", network)
    source, told = str(tmp_path / "zoo.safetensors"), tmp_path / "zoo.json"
    with pytest.raises(UserError, match="Give --description"):
        add(source)
    told.write_text(json.dumps(DESCRIPTION | {"settings": {"hidden": [5]}}))
    with pytest.raises(UserError, match=r"head\.weight is \[2, 4\] instead of \[2, 5\]"):
        add(source, description=told)
    told.write_text(json.dumps(DESCRIPTION | {"categories": ["three", "three"]}))
    with pytest.raises(UserError, match="a name occurs twice"):
        add(source, description=told)
    told.write_text(json.dumps(DESCRIPTION))
    assert add(source, description=told).name == "zoo"
    told.write_text(json.dumps(DESCRIPTION | {"head": "sigmoid"}))
    assert add(source, "yes-or-no", description=told).head == "sigmoid"
    images, repository = torch.rand(3, 1, 8, 8), TeacherRepository(workspace.teachers)
    zoo, other = (repository.load(name) for name in ("zoo", "yes-or-no"))
    yes = zoo.logits(images).sigmoid()
    torch.testing.assert_close(other.logits(images).softmax(1), yes / yes.sum(1, keepdim=True))
    assert zoo.fingerprint != other.fingerprint
    with pytest.raises(UserError, match="a name has letters"):
        add(source, "../zoo", description=told)
    assert sorted(path.name for path in workspace.teachers.iterdir()) == ["yes-or-no", "zoo"]


def test_commands_answer_in_json_and_go_on_past_broken_teachers(
    run: Callable[..., str], workspace: Workspace, capsys: pytest.CaptureFixture[str]
):
    command.add(run(), "whole", json=True)
    command.add(run("animals-2"), "broken", json=True)
    (workspace.teachers / "broken" / CARD).write_text("{}")
    capsys.readouterr()
    command.list_teachers(json=True)
    found = json.loads(capsys.readouterr().out)
    assert [card["name"] for card in found["teachers"]] == ["whole"]
    assert "architecture: Field required" in found["broken"]["broken"]
    with pytest.raises(typer.Exit):
        command.verify(json=True)
    faults = json.loads(capsys.readouterr().out)
    assert faults["whole"] is None and faults["broken"]
    command.remove("broken")
    command.verify()
    command.show_teacher("whole", json=True)
    shown = capsys.readouterr().out
    assert "whole: whole" in shown
    assert json.loads(shown[shown.index("{") :])["categories"] == list(NAMES)


def test_lists_for_people_name_every_teacher(run: Callable[..., str], capsys: pytest.CaptureFixture[str]):
    command.add(run())
    command.list_teachers()
    command.show_teacher("animals")
    shown = capsys.readouterr().out
    assert "animals" in shown and "digits" in shown and "0.750" in shown
