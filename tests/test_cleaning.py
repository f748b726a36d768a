"""`selkd clean`: what nothing refers to is shown, then deleted; what is needed or held stays."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from selkd import cleaning
from selkd.cleaning import Unneeded, remove, unneeded
from selkd.cli.app import app
from selkd.config import RunConfig, Workspace
from selkd.files import holding, write_json
from selkd.store import store
from selkd.students import evaluate
from selkd.tracking import StudyRecord, TrialRecord
from selkd.training.run import train

STUDENT: dict[str, Any] = {
    "name": "student",
    "task": {"categories": ["three", "five"]},
    "student": {"model": "cnn", "width": 2},
    "objective": {"name": "cross-entropy"},
    "training": {"epochs": 1},
    "workers": {"device": "cpu"},
}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("SELKD_WORKSPACE", str(tmp_path / "workspace"))
    return Workspace.default()


@pytest.fixture
def run(workspace: Workspace) -> Callable[..., Path]:
    """Records a run of a study, or of none."""

    def make(key: str, study: str | None = None, teacher: str | None = None) -> Path:
        record = TrialRecord(workspace.runs / key)
        tags = {"selkd.study": study} if study else {}
        record.begin(key, key, {"seed": 0}, tags, {"fingerprints": {"teacher": teacher, "evidence": None}})
        return record.folder

    return make


@pytest.fixture
def evidence(workspace: Workspace) -> Callable[..., Path]:
    def make(name: str, **key: str) -> Path:
        folder = workspace.evidence / name
        write_json(folder / "meta.json", {"key": {"evidence": "of a test", **key}})
        return folder

    return make


def found(workspace: Workspace) -> dict[str, set[str]]:
    kinds: dict[str, set[str]] = {}
    for one in unneeded(workspace):
        kinds.setdefault(one.kind, set()).add(Path(one.path).name)
    return kinds


def aged(path: Path) -> Path:
    before = time.time() - 2 * cleaning.YOUNG
    for one in (path, *path.rglob("*")):
        os.utime(one, (before, before))
    return path


def test_students_of_removed_studies_go_and_those_of_others_stay(workspace: Workspace, run: Callable[..., Path]):
    for name, keys in {"there": ["kept", "shared"]}.items():
        record = StudyRecord(workspace.studies / name)
        record.begin(name, {}, {})
        record.propose(0, {}, [{"key": key, "seed": 0, "role": "student"} for key in keys])
    run("kept", "there")
    run("shared", "gone")
    run("alone")
    run("unneeded", "gone")
    assert found(workspace) == {"runs": {"unneeded"}}
    remove(workspace, unneeded(workspace))
    assert sorted(path.name for path in workspace.runs.iterdir()) == ["alone", "kept", "shared"]


def test_evidence_stays_while_a_record_names_it_or_its_teacher(
    workspace: Workspace, run: Callable[..., Path], evidence: Callable[..., Path]
):
    run("student", teacher="taught")
    evidence("logits", teacher="taught")
    evidence("statistics", logits="logits")
    evidence("orphan", teacher="gone")
    evidence("of-orphan", logits="orphan")
    evidence("unknown")
    assert found(workspace) == {"evidence": {"orphan", "of-orphan"}}


def test_half_written_files_go_when_they_are_old_and_hidden_files_of_others_stay(workspace: Workspace):
    folder = workspace.evidence / ".key.abcd1234"
    folder.mkdir(parents=True)
    (folder / "logits.npy").write_bytes(bytes(100))
    (workspace.evidence / ".mine").mkdir()
    aged(workspace.evidence / ".mine")
    assert found(workspace) == {}
    aged(folder)
    assert found(workspace) == {"temporary": {".key.abcd1234"}}
    with holding(workspace.evidence / ".key.lock", 0, "busy"):
        assert remove(workspace, unneeded(workspace)) == []
    assert [one.bytes for one in remove(workspace, unneeded(workspace))] == [100]
    assert not folder.exists()


def test_what_somebody_holds_or_needs_by_now_stays(workspace: Workspace, run: Callable[..., Path]):
    folder = run("unneeded", "gone")
    seen = unneeded(workspace)
    with holding(folder / ".lock", 0, "busy"):
        assert remove(workspace, seen) == []
    StudyRecord(workspace.studies / "gone").begin("gone", {}, {})  # a driver begins between showing and deleting
    assert remove(workspace, seen) == []
    assert TrialRecord(folder).status == "running"


def test_a_finished_student_needs_no_checkpoints(workspace: Workspace):
    config = RunConfig.model_validate(STUDENT)
    trained = train(config, workspace)
    before = evaluate(trained.key, workspace=workspace).metrics
    [checkpoints] = unneeded(workspace)
    assert checkpoints == Unneeded(
        "checkpoints", trained.folder / "checkpoints", checkpoints.bytes, trained.folder / ".lock"
    )
    assert remove(workspace, [checkpoints]) == [checkpoints]
    assert evaluate(trained.key, workspace=workspace).metrics == before
    assert train(config, workspace).metrics == trained.metrics
    assert unneeded(workspace) == []


def test_in_the_store_only_what_no_newest_version_names_goes(
    workspace: Workspace, run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SELKD_STORE", f"file://{tmp_path}/store")
    monkeypatch.setattr(cleaning, "DAY", 0.0)
    here = run("student")
    store().publish(here)
    there = tmp_path / "other" / "runs" / "student"
    store().fetch(there)
    TrialRecord(there).log(1, {"loss": 1.0})
    store().publish(there)
    names = {Path(one.path).name for one in unneeded(workspace)}
    assert len(names) >= 2
    remove(workspace, unneeded(workspace))
    assert unneeded(workspace) == []
    store().fetch(third := tmp_path / "third" / "runs" / "student")
    assert TrialRecord(third).history()["loss"].tolist() == [1.0]


def test_the_command_shows_first_and_deletes_when_told(workspace: Workspace, run: Callable[..., Path]):
    folder = run("unneeded", "gone")
    shown = CliRunner().invoke(app, ["clean"])
    assert shown.exit_code == 0
    assert "selkd clean --yes" in shown.output
    assert folder.exists()
    told = json.loads(CliRunner().invoke(app, ["clean", "--json", "--yes"]).output)
    assert told["deleted"]
    assert [one["path"] for one in told["found"]] == [str(folder)]
    assert not folder.exists()
    assert "Nothing to clean." in CliRunner().invoke(app, ["clean"]).output


def test_students_of_a_study_that_only_the_store_has_stay(
    workspace: Workspace, run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SELKD_STORE", f"file://{tmp_path}/store")
    elsewhere = StudyRecord(tmp_path / "other" / "studies" / "elsewhere")
    elsewhere.begin("elsewhere", {}, {})
    store().publish(elsewhere.folder)
    run("student", "elsewhere")
    assert unneeded(workspace) == []
