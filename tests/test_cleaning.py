"""`selkd clean`: what nothing refers to is shown, then deleted; what is needed or held stays."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from selkd import cleaning, models
from selkd.cleaning import Unneeded, remove, unneeded
from selkd.cli.app import app
from selkd.config import RunConfig, Workspace
from selkd.files import fingerprint, holding, write_json
from selkd.models.classifier import Classifier
from selkd.models.teachers import TeacherRepository
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

    def make(
        key: str,
        study: str | None = None,
        teacher: str | None = None,
        semantics_config: dict[str, str] | None = None,
        **made_from: str,
    ) -> Path:
        record = TrialRecord(workspace.runs / key)
        tags = {"selkd.study": study} if study else {}
        config = {"seed": 0} | ({} if semantics_config is None else {"semantics": semantics_config})
        record.begin(key, key, config, tags, {"fingerprints": {"teacher": teacher, "evidence": None, **made_from}})
        return record.folder

    return make


@pytest.fixture
def evidence(workspace: Workspace) -> Callable[..., Path]:
    def make(name: str, **key: Any) -> Path:
        folder = workspace.evidence / name
        write_json(folder / "meta.json", {"key": {"evidence": "of a test", **key}})
        return folder

    return make


@pytest.fixture
def taught(workspace: Workspace) -> Callable[..., str]:
    """Keeps a teacher with random weights; its fingerprint."""

    def make(name: str, seed: int = 0) -> str:
        torch.manual_seed(seed)
        network = models.build("mlp", channels=1, outputs=3, image_size=8, hidden=[4])
        card = TeacherRepository(workspace.teachers).save(
            name, Classifier(network, [0.3], [0.3]), categories=("one", "three", "five"), architecture="mlp",
            settings={"hidden": [4]}, channels=1, image_size=8, data={"name": "digits", "fingerprint": ""}, accuracy={},
            validation_accuracy=0.5,
        )  # fmt: skip
        return card.fingerprint

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


NAMED = {"semantics": "s", "categories": fingerprint(["three", "five"])}


def test_answers_of_several_teachers_stay_while_a_run_learnt_from_them(
    workspace: Workspace, run: Callable[..., Path], evidence: Callable[..., Path]
):
    """Its record names them together, so that they are known by the data; those of other data are nobody's."""
    folder = run("several", teacher="of both", evidence="of both", data="digits", **NAMED)
    for name in ("first", "second"):
        evidence(name, teacher=name, data="digits")
        evidence(f"means-{name}", network=name, data="digits")
        evidence(f"statistics-{name}", logits=name)
    evidence("other", teacher="first", data="letters")
    evidence("means-other", network="first", data="letters")
    assert found(workspace) == {"evidence": {"other", "means-other"}}
    write_json(folder / "selection.json", {"teachers": {"chosen": {"gone": 0.5, "lost": 0.5}}})
    assert found(workspace) == {"evidence": {"other", "means-other"}}


def test_nothing_is_kept_for_several_teachers_that_are_all_there(
    workspace: Workspace, run: Callable[..., Path], evidence: Callable[..., Path], taught: Callable[..., str]
):
    folder = run("several", teacher="of both", evidence="of both", data="digits", **NAMED)
    write_json(folder / "selection.json", {"teachers": {"chosen": {"a": 0.5, "b": 0.5}}})
    evidence("of-a", teacher=taught("a"), data="digits")
    evidence("of-b", teacher=taught("b", 1), data="digits")
    evidence("orphan", teacher="gone", data="digits")
    assert found(workspace) == {"evidence": {"orphan"}}


def test_one_teacher_of_other_categories_is_known_by_its_own_name(
    workspace: Workspace, run: Callable[..., Path], evidence: Callable[..., Path]
):
    run("one", teacher="mine", evidence="logits", data="digits", **NAMED)
    evidence("logits", teacher="mine", data="digits")
    evidence("means", network="mine", data="digits")
    evidence("orphan", network="gone", data="digits")
    assert found(workspace) == {"evidence": {"orphan"}}


def test_features_stay_while_their_network_or_a_run_that_compared_them_is_there(
    workspace: Workspace, run: Callable[..., Path], evidence: Callable[..., Path], taught: Callable[..., str]
):
    evidence("here", network=taught("a"), data="digits")
    evidence("gone", network="encoder", data="letters")
    assert found(workspace) == {"evidence": {"gone"}}
    folder = run("compared", teacher="gone", data="digits", semantics_config={"source": "prototypes", "encoder": "e"})
    assert found(workspace) == {}
    shutil.rmtree(folder)
    run("compared", teacher="gone", data="digits", semantics_config={"source": "prototypes", "encoder": "a"})
    assert found(workspace) == {"evidence": {"gone"}}


def test_a_student_trained_briefly_is_remembered_while_a_run_has_its_task(
    workspace: Workspace, run: Callable[..., Path], evidence: Callable[..., Path]
):
    run("student", data="digits", **NAMED)
    evidence("mine", run="r", data="digits", categories=["three", "five"])
    evidence("other-task", run="r", data="digits", categories=["three", "nine"])
    evidence("other-data", run="r", data="letters", categories=["three", "five"])
    assert found(workspace) == {"evidence": {"other-task", "other-data"}}


@pytest.mark.parametrize("faults", [{}, {"images": 0.2}])
def test_whatever_a_run_of_several_teachers_asked_stays_as_long_as_the_run(
    workspace: Workspace, taught: Callable[..., str], faults: dict[str, float]
):
    """Evidence as training names it, whoever keeps the teachers; all of it goes with the run."""
    for seed, name in enumerate("ab"):
        taught(name, seed)
    chosen = {"policy": "transport", "number": 2, "level": 2, "rows": 4, "steps": 2}
    config = STUDENT | {
        "name": "cross", "objective": {"name": "transport"}, "selection": {"teachers": chosen},
        "semantics": {"source": "classifier-rows", "rows": 4}, "data": {"rows_per_category": 8, "faults": faults},
        "training": {"epochs": 1, "batch_size": 8},
    }  # fmt: skip
    folder = train(config, workspace).folder
    everything = {path.name for path in workspace.evidence.glob("[!.]*/")}
    holds = [json.loads(path.read_text())["key"]["evidence"] for path in workspace.evidence.glob("[!.]*/meta.json")]
    assert {"teacher logits", "mean features", "answers of a student that was trained briefly"} <= set(holds)
    shutil.rmtree(workspace.teachers)
    assert "evidence" not in found(workspace)
    shutil.rmtree(folder)
    assert found(workspace)["evidence"] == everything


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
