"""Recorded runs trained again: the same student from the record alone, and the first thing that differs named."""

import json
import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import typer

from selkd.cli import reproduce as command
from selkd.config import Workspace
from selkd.errors import UserError
from selkd.files import checksum, read_json, write_json
from selkd.models.card import CARD
from selkd.pools import train_pool
from selkd.reproduction import Difference, Reproduction, reproduce
from selkd.reproduction.run import ELSEWHERE
from selkd.tracking import Ledger, TrialRecord
from selkd.training.run import Recording, train
from selkd.training.teach import teach

Event = dict[str, Any]
SMALL: dict[str, Any] = {
    "name": "student",
    "data": {"rows_per_category": 12},
    "student": {"model": "mlp", "hidden": [8]},
    "training": {"epochs": 2, "batch_size": 16},
    "workers": {"device": "cpu"},
}
SELKD: dict[str, Any] = {
    **SMALL,
    "data": {"rows_per_category": 12, "augment": {"crop": 1}},
    "task": {"categories": ["three", "five", "eight"], "mode": "open"},
    "teacher": "teacher",
    "objective": {"name": "selkd", "epsilon": 2.0},
}
CONFIGS: dict[str, dict[str, Any]] = {
    "closed": {**SMALL, "task": {"categories": ["three", "five"]}},
    "open, taught, augmented": SELKD,
    "rows chosen by the student": {**SELKD, "selection": {"samples": {"policy": "el2n", "keep": 0.5, "rounds": 1}}},
    "categories chosen by the teacher": {
        **SMALL,
        "teacher": "teacher",
        "objective": "kd",
        "selection": {"categories": {"policy": "most-confusable", "size": 3}},
    },
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a teacher."""
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    teach({**SMALL, "name": "teacher", "training": {"epochs": 1}}, workspace)
    return workspace


def recorded(config: dict[str, Any], workspace: Workspace) -> Path:
    return train(config, workspace, recording=Recording(deliver=False, figures=False)).folder


@pytest.fixture(scope="module")
def student(workspace: Workspace) -> Path:
    return recorded(SELKD, workspace)


@pytest.fixture
def rewritten(student: Path, tmp_path: Path) -> Callable[[Callable[[Event], None]], Path]:
    """The student's run as it would be recorded had some events been otherwise."""

    def rewrite(change: Callable[[Event], None]) -> Path:
        folder = tmp_path / "rewritten"
        shutil.copytree(student, folder, ignore=shutil.ignore_patterns("ledger.*"))
        ledger = Ledger(folder / "ledger.jsonl")
        for event in Ledger(student / "ledger.jsonl").events()[1:]:
            changed = deepcopy({k: v for k, v in event.items() if k not in ("n", "time", "event", "crc")})
            changed["event"] = event["event"]
            change(changed)
            ledger.append(changed.pop("event"), **changed)
        return folder

    return rewrite


def in_provenance(*path: str, value: Any) -> Callable[[Event], None]:
    """Lets the record say that something was otherwise when the run began."""

    def change(event: Event) -> None:
        if event["event"] == "begin":
            place = event["provenance"]
            for name in path[:-1]:
                place = place[name]
            place[path[-1]] = value

    return change


def in_config(key: str, value: Any) -> Callable[[Event], None]:
    def change(event: Event) -> None:
        if event["event"] == "begin":
            event["config"][key] = value

    return change


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): checksum(path) for path in folder.rglob("*") if path.is_file()}


def whats(found: Reproduction) -> dict[str, Difference]:
    return {one.what: one for one in found.before}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_run_comes_out_identical_to_the_last_bit_and_stays_untouched(name: str, workspace: Workspace) -> None:
    folder = recorded(CONFIGS[name], workspace)
    before = files(folder)
    found = reproduce(folder.name, workspace, tolerance=0)
    assert (found.verdict, found.first, found.likeness.weights) == ("identical", None, True)
    assert {part: answers.same for part, answers in found.likeness.answers.items()} == {
        "validation": True,
        "test": True,
    }
    assert files(folder) == before
    assert not list(workspace.root.glob(".reproduce-*"))


def test_a_teachers_run_is_reproduced_like_a_students(workspace: Workspace) -> None:
    assert reproduce("teacher-", workspace, tolerance=0).verdict == "identical"


def test_a_record_of_another_training_is_different_from_its_first_epoch(rewritten, workspace: Workspace) -> None:
    found = reproduce(str(rewritten(in_config("seed", 1))), workspace, tolerance=0)
    assert (found.verdict, found.same, found.likeness.weights) == ("different", False, False)
    assert found.likeness.first is not None
    assert found.likeness.first.startswith("epoch 1, train/")
    assert "validation/nll" in found.likeness.changed


def test_a_later_epoch_that_differs_is_named(rewritten, workspace: Workspace) -> None:
    def change(event: Event) -> None:
        if event["event"] == "log" and event["step"] == 2:
            event["metrics"]["validation/nll"] = 9.0

    found = reproduce(str(rewritten(change)), workspace, tolerance=0)
    assert str(found.likeness.first).startswith("epoch 2, validation/nll: 9 when recorded, ")


def test_a_final_metric_that_no_answer_explains_is_named(rewritten, workspace: Workspace) -> None:
    def change(event: Event) -> None:
        if event["event"] == "finish":
            event["metrics"]["test/balanced"] += 0.01

    folder = str(rewritten(change))
    found = reproduce(folder, workspace, tolerance=0)
    assert found.verdict == "different"
    assert "test/balanced" in str(found.likeness.first) and "of answers that are the same" in str(found.likeness.first)
    assert found.likeness.weights
    assert reproduce(folder, workspace, tolerance=0.02).verdict == "within tolerance"


@pytest.mark.parametrize(
    ("path", "value", "what", "decides"),
    [
        (("git",), {"commit": "f" * 40, "dirty": False}, "code", True),
        (("versions", "torch"), "1.0", "package torch", True),
        (("versions", "ray"), "1.0", "package ray", False),
        (("python",), "3.1", "Python", True),
        (("hardware", "cpu"), "abacus", "processor", True),
        (("fingerprints", "evidence"), "0" * 64, "evidence", True),
        (("fingerprints", "categories"), "0" * 64, "categories", True),
    ],
)
def test_what_differs_is_said_before_training(
    rewritten, workspace: Workspace, path: tuple[str, ...], value: Any, what: str, decides: bool
) -> None:
    heard: list[Difference] = []
    trained: list[int] = []
    found = reproduce(
        str(rewritten(in_provenance(*path, value=value))),
        workspace,
        on_before=lambda before: heard.extend(before if not trained else []),
        on_epoch=lambda epoch: trained.append(epoch.epoch),
    )
    assert found.before == heard
    assert whats(found)[what].decides == decides
    assert found.verdict == "identical"
    assert found.tolerance == (ELSEWHERE if any(one.decides for one in found.before) else 0)


def test_all_turns_of_a_resumed_training_are_compared(rewritten, workspace: Workspace) -> None:
    begins: list[Event] = []

    def change(event: Event) -> None:
        if event["event"] == "begin":
            begins.append(event)
            event["provenance"]["python"] = "3.1"

    folder = rewritten(change)
    Ledger(folder / "ledger.jsonl").append(
        "begin", **{k: v for k, v in begins[0].items() if k != "event"} | {"provenance": {"python": "3.2"}}
    )
    TrialRecord(folder).finish("finished", {}, None)
    found = reproduce(str(folder), workspace)
    assert {one.recorded for one in found.before if one.what == "Python"} == {"3.1", "3.2"}


def test_the_first_thing_that_differs_is_where_the_student_came_from(rewritten, workspace: Workspace) -> None:
    def change(event: Event) -> None:
        in_config("seed", 1)(event)
        in_provenance("versions", "torch", value="1.0")(event)
        in_provenance("git", value=None)(event)

    found = reproduce(str(rewritten(change)), workspace, tolerance=0)
    assert str(found.first).startswith("code: selkd")


def test_a_teacher_is_found_by_what_it_is_not_by_its_name(student: Path, workspace: Workspace, tmp_path: Path) -> None:
    elsewhere = Workspace(tmp_path / "elsewhere")
    shutil.copytree(workspace.teachers / "teacher", elsewhere.teachers / "renamed")
    card = elsewhere.teachers / "renamed" / CARD
    write_json(card, read_json(card) | {"name": "renamed"})
    assert reproduce(str(student), elsewhere, tolerance=0).verdict == "identical"
    card.unlink()
    with pytest.raises(
        UserError, match=r"teacher: .*taught by 'teacher' with fingerprint [0-9a-f]{12}, and no teacher"
    ):
        reproduce(str(student), elsewhere)


@pytest.mark.parametrize(
    "policy", [{"policy": "accuracy"}, {"policy": "transport", "number": 2}, {"policy": "logme", "number": 3}]
)
def test_teachers_that_a_policy_chose_teach_again_whoever_came_since(tmp_path: Path, policy: dict[str, Any]) -> None:
    workspace = Workspace(tmp_path)
    there = {"a": ["one", "two"], "b": ["three", "five", "six"], "c": ["seven", "eight"]}
    base = {key: value for key, value in SMALL.items() if key != "name"}
    train_pool(
        {"name": "pool", "base": base, "teachers": {k: {"task.categories": v} for k, v in there.items()}}, workspace
    )
    student = recorded(
        {**SMALL, "task": {"categories": ["three", "five"]}, "objective": "transport",
         "selection": {"teachers": policy}}, workspace
    )  # fmt: skip
    train_pool({"name": "pool", "base": base, "teachers": {"best": {"task.categories": ["three", "five"]}}}, workspace)
    found = reproduce(str(student), workspace)
    assert found.verdict == "identical", found.first


def test_other_data_under_the_same_name_are_refused_by_their_content(rewritten, workspace: Workspace) -> None:
    folder = rewritten(in_provenance("fingerprints", "data", value="0" * 64))
    with pytest.raises(UserError, match=r"data: digits here is not what .* was trained on .fingerprint 000000000000"):
        reproduce(str(folder), workspace)


def test_data_that_are_elsewhere_are_named(rewritten, workspace: Workspace) -> None:
    def change(event: Event) -> None:
        if event["event"] == "begin":
            event["config"]["data"]["source"] = "imagefolder:/nowhere/photos"

    folder = str(rewritten(change))
    with pytest.raises(UserError, match=r"/nowhere/photos.*\n.*--data SOURCE"):
        reproduce(folder, workspace)
    assert reproduce(folder, workspace, data="digits", tolerance=0).verdict == "identical"


def test_a_configuration_of_a_later_version_names_that_version(rewritten, workspace: Workspace) -> None:
    def change(event: Event) -> None:
        in_config("warp", 9)(event)
        in_provenance("versions", "selkd", value="7.0")(event)

    with pytest.raises(UserError, match=r"recorded by selkd 7\.0, commit [0-9a-f]{12}(.|\n)*warp: unknown key"):
        reproduce(str(rewritten(change)), workspace)


def test_keys_that_the_recording_version_did_not_have_are_named(rewritten, workspace: Workspace) -> None:
    def change(event: Event) -> None:
        if event["event"] == "begin":
            del event["config"]["training"]["clip"]

    found = reproduce(str(rewritten(change)), workspace)
    assert whats(found)["configuration"].here == "training.clip=None"


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("failed", r"it failed \(no room\)"),
        ("pruned", r"stopped it early \(no room\)"),
        ("stopped", r"it was stopped \(no room\)"),
        (None, "still in training, or its process died"),
    ],
)
def test_runs_that_did_not_finish_are_refused_with_the_reason(rewritten, workspace, status, told) -> None:
    folder = rewritten(lambda _: None)
    again = [event for event in Ledger(folder / "ledger.jsonl").events() if event["event"] == "begin"][-1]
    record = TrialRecord(folder)
    record.begin(**{name: again[name] for name in ("key", "name", "config", "tags", "provenance")})
    if status is not None:
        record.finish(status, {}, "no room")
    with pytest.raises(UserError, match=told):
        reproduce(str(folder), workspace)


def test_the_new_run_is_kept_where_it_is_wanted(student: Path, workspace: Workspace, tmp_path: Path) -> None:
    found = reproduce(student.name, workspace, keep=tmp_path / "kept")
    assert checksum(tmp_path / "kept/student/weights.safetensors") == checksum(student / "student/weights.safetensors")
    assert TrialRecord(tmp_path / "kept").status == "finished"
    assert found.folder == tmp_path / "kept"
    with pytest.raises(UserError, match="exists already"):
        reproduce(student.name, workspace, keep=tmp_path / "kept")


def test_the_command_exits_with_the_verdict_and_answers_machines(
    student: Path, rewritten, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setenv("SELKD_WORKSPACE", str(workspace.root))
    command.reproduce(student.name, tolerance=0, json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["weights_identical"], found["changed"]) == ("identical", True, {})
    with pytest.raises(typer.Exit) as ended:
        command.reproduce(str(rewritten(in_config("seed", 1))), tolerance=0)
    assert ended.value.exit_code == 1
    shown = capsys.readouterr()
    assert "different" in shown.out and "first difference: " in shown.out


def test_an_unknown_run_is_answered_with_the_nearest(student: Path, workspace: Workspace) -> None:
    with pytest.raises(UserError, match=r"neither a run in .* nor in MLflow.*Did you mean"):
        reproduce(student.name.replace("student", "studnet"), workspace)
    with pytest.raises(UserError, match="the name is empty"):
        reproduce("", workspace)
