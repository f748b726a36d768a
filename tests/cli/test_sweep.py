"""The commands of studies, on a study of three small students: run, read, resumed, stopped, killed."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from selkd.cli import app as commands
from selkd.cli import show
from selkd.config import Workspace
from selkd.errors import UserError
from selkd.sweeps import ready
from selkd.sweeps.space import SearchSpace
from selkd.sweeps.studies import Study
from selkd.tracking import StudyRecord, TrialRecord

SPACE: dict[str, Any] = {
    "name": "tiny",
    "description": "three small students",
    "base": {
        "data": {"source": "digits", "rows_per_category": 20},
        "student": {"model": "cnn", "width": 4},
        "training": {"epochs": 2},
    },
    "search": {"training.optimiser.lr": {"log": [0.001, 0.1]}},
    "metrics": {"validation/accuracy": "maximise"},
    "budget": {"candidates": 3},
    "sampler": "random",
    "concurrent": 1,
}


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "space.yaml"
    path.write_text(yaml.safe_dump(SPACE | changes))
    return path


def begin(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from selkd.cli import main; main()", *arguments]
    return subprocess.Popen(
        command, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"COLUMNS": "100"}
    )


def selkd(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    driver = begin(*arguments, cwd=cwd)
    out, err = driver.communicate(timeout=300)
    return subprocess.CompletedProcess(arguments, driver.returncode, out, err)


# --- a study in its ledger, without Ray ---


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with the study `tiny`: two candidates told, a third left running by a driver that was killed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(show.out, "_width", 100)
    workspace = Workspace.default()
    space = SearchSpace.of(SPACE)
    record = StudyRecord(workspace.studies / "tiny")
    record.begin("tiny", space.model_dump(mode="json", by_alias=True), {})
    record.start(1, "here", 1)
    for number, key in enumerate(("tiny-a", "tiny-b", "tiny-c")):
        trials = [{"key": key, "seed": 0, "role": "student"}]
        record.propose(number, {"training.optimiser.lr": 0.01 * (number + 1)}, trials)
        record.launch(key)
    metrics = {"validation/accuracy": 0.75}
    record.end_trial("tiny-a", "finished", metrics, None, 2.0)
    record.tell(0, "complete", metrics, [], None)
    record.end_trial("tiny-b", "failed", {}, "ValueError: no number", 1.0)
    record.tell(1, "failed", {}, [], "ValueError: no number")
    TrialRecord(workspace.runs / "tiny-c").begin("tiny-c", "tiny", {}, {}, {})
    return workspace


def output(*arguments: str) -> str:
    found = CliRunner().invoke(commands.app, list(arguments))
    if found.exception is not None:
        raise found.exception
    return found.stdout


def words(*arguments: str) -> str:
    return " ".join(output(*arguments).split())


def test_no_studies_yet_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "selkd sweep" in output("studies")
    assert json.loads(output("studies", "--json")) == []


def test_studies_are_listed_with_what_is_best(workspace: Workspace) -> None:
    shown = output("studies")
    assert "three small students" in shown
    assert "2 of 3" in shown
    [found] = json.loads(output("studies", "--json"))
    assert (found["name"], found["status"], found["students"]) == ("tiny", "stopped", 1)
    assert found["best_values"] == {"validation/accuracy": 0.75}


def test_a_study_shows_best_remaining_and_failed(workspace: Workspace) -> None:
    shown = words("study", "tiny")
    for text in (
        "tiny: stopped (its driver ended without a word)",
        "2 of 3 tried; 1 remain",
        "training.optimiser.lr=0.01",
        "0.7500",
        "ValueError: no number",
        "`selkd sweep --resume tiny`",
        "`selkd export tiny-a student.pt2`",
    ):
        assert text in shown, text


def test_a_study_in_json_is_whole(workspace: Workspace) -> None:
    found = json.loads(output("study", "tiny", "--json", "--trials"))
    assert found["verdicts"] == {"complete": 1, "failed": 1, "open": 1}
    assert found["remains"] == {"candidates": 1, "hours": None, "student_hours": None}
    assert found["failures"] == {"ValueError: no number": 1}
    assert found["best"][0]["students"] == ["tiny-a"]
    assert [trial["key"] for trial in found["trials"]] == ["tiny-a", "tiny-b", "tiny-c"]


def test_students_are_shown_on_request(workspace: Workspace) -> None:
    assert "tiny-c" not in output("study", "tiny")
    assert "tiny-c" in output("study", "tiny", "--trials")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["study", "tinny"], "Did you mean 'tiny'?"),
        (["sweep", "--resume", "tinny"], "Did you mean 'tiny'?"),
        (["sweep"], "no search space: name a YAML file"),
        (["sweep", "absent.yaml"], "absent.yaml: neither a file nor a ready search space"),
        (["sweep", "space.yaml", "--resume", "tiny"], "Leave one of them out"),
        (["sweep", "--resume", "tiny", "budget.candidats=5"], "Did you mean 'candidates'?"),
        (["sweep", "--resume", "tiny", "seed=5"], "the search space changed since the study began:\n  seed: 0 -> 5"),
    ],
)
def test_mistakes_are_refused_with_the_remedy(arguments: list[str], told: str, workspace: Workspace) -> None:
    with pytest.raises(UserError) as error:
        output(*arguments)
    assert told in str(error.value)


@pytest.mark.slow
def test_a_study_without_a_driver_is_put_in_order(workspace: Workspace) -> None:
    shown = words("study", "tiny", "--stop")
    assert "1 finished, 1 failed, 1 stopped, can go on" in shown
    assert TrialRecord(workspace.runs / "tiny-c").status == "stopped"
    events = StudyRecord(workspace.studies / "tiny").ledger.events()
    assert events[-1]["event"] == "stop"
    output("study", "tiny", "--stop")
    assert len(StudyRecord(workspace.studies / "tiny").ledger.events()) == len(events)


def test_a_dry_run_shows_size_candidates_and_cost(workspace: Workspace) -> None:
    path = write(workspace.root.parent, name="other")
    shown = words("sweep", str(path), "--dry-run")
    for text in ("10 of infinite (1 range) candidates", "training.optimiser.lr=", "Students: 3", "Time:", "Disk:"):
        assert text in shown, text
    found = json.loads(output("sweep", str(path), "--dry-run", "--json"))
    assert found["students"] == 3
    assert len(found["candidates"]) == 10
    assert not (workspace.studies / "other").exists()


def test_subsets_are_shown_as_they_would_be_written(workspace: Workspace) -> None:
    search = {"task.categories": {"subset": {"size": 3}}}
    base = SPACE["base"] | {"training": {"epochs": 2, "batch_size": 16}}
    path = write(workspace.root.parent, name="subsets", base=base, search=search)
    shown = words("sweep", str(path), "--dry-run")
    assert len(re.findall(r"task.categories=\[\w+, \w+, \w+\]", shown)) == 10
    record = StudyRecord(workspace.studies / "subsets")
    record.begin("subsets", SearchSpace.read(path).model_dump(mode="json", by_alias=True), {})
    record.propose(0, {"task.categories": ["one", "two", "six"]}, [{"key": "k", "seed": 0, "role": "student"}])
    record.end_trial("k", "finished", {"validation/accuracy": 0.75}, None, 2.0)
    record.tell(0, "complete", {"validation/accuracy": 0.75}, [], None)
    assert "task.categories=[one, two, six]" in words("study", "subsets")


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("interrupted (SIGTERM)", show.Interrupted),
        ("asked to stop", show.Interrupted),
        ("cannot go on: full", UserError),
    ],
)
def test_a_study_that_did_not_try_everything_is_no_success(
    reason: str, error: type[Exception], workspace: Workspace
) -> None:
    StudyRecord(workspace.studies / "tiny").stop(False, reason)
    with pytest.raises(error):
        commands.sweep.refuse_unfinished(Study.read("tiny", workspace))


def test_the_space_that_help_shows_is_one(tmp_path: Path) -> None:
    (tmp_path / "student.yaml").write_text("data: {source: digits}\nstudent: {model: cnn}\nteacher: digits-teacher\n")
    example = cleandoc(commands.sweep.sweep.__doc__ or "").split("```")[1]
    (tmp_path / "example.yaml").write_text(example)
    space = SearchSpace.read(tmp_path / "example.yaml")
    assert set(space.search) == {"objective.name", "objective.epsilon"}


@pytest.mark.parametrize("command", ["sweep", "studies", "study"])
def test_every_command_of_studies_explains_itself(command: str) -> None:
    assert len(output(command, "--help").splitlines()) > 8


def test_a_ready_space_is_found_by_its_name_and_a_file_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spaces").mkdir()
    shipped = write(tmp_path / "spaces").rename(tmp_path / "spaces" / "open-mass.yaml")
    monkeypatch.setattr(ready, "FOLDER", tmp_path / "spaces")
    monkeypatch.chdir(tmp_path)
    assert ready.path_of("open-mass") == shipped
    with pytest.raises(UserError, match=r"Did you mean 'open-mass'\?"):
        ready.path_of("open-mas")
    Path("open-mass").write_text("")
    assert ready.path_of("open-mass") == Path("open-mass")


# --- real studies ---


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studies")


@pytest.fixture(scope="module")
def finished(folder: Path) -> subprocess.CompletedProcess[str]:
    """The study `tiny`, run to its end."""
    return selkd("sweep", str(write(folder)), cwd=folder)


@pytest.mark.slow
def test_a_study_runs_and_tells_each_candidate(finished: subprocess.CompletedProcess[str]) -> None:
    assert finished.returncode == 0, finished.stderr
    lines = finished.stderr.splitlines()
    assert [sum(line.startswith(f"candidate {k}: validation/accuracy ") for line in lines) for k in range(4)] == [
        1, 1, 1, 0,
    ]  # fmt: skip
    assert "tiny: finished (every candidate was tried)" in finished.stdout
    assert "3 of 3 tried; 0 remain" in finished.stdout


@pytest.mark.slow
def test_a_study_is_resumed_by_name_and_told_in_json(folder: Path, finished: subprocess.CompletedProcess[str]) -> None:
    found = selkd("sweep", "--resume", "tiny", "budget.candidates=4", "--json", cwd=folder)
    assert found.returncode == 0, found.stderr
    told = json.loads(found.stdout)
    assert told["verdicts"] == {"complete": 4}
    assert told == json.loads(selkd("study", "tiny", "--json", cwd=folder).stdout)


@contextlib.contextmanager
def running(folder: Path, name: str) -> Iterator[subprocess.Popen[str]]:
    """A driver whose first student trains for long."""
    path = write(folder, name=name, base=SPACE["base"] | {"training": {"epochs": 100_000}})
    driver = begin("sweep", str(path), cwd=folder)
    try:
        patience = time.monotonic() + 200
        while not _trains(folder, name):
            assert driver.poll() is None, driver.communicate()[1]
            assert time.monotonic() < patience
            time.sleep(0.2)
        yield driver
    finally:
        driver.kill()
        driver.communicate()


def _trains(folder: Path, name: str) -> bool:
    runs = (folder / ".selkd" / "runs").glob(f"{name}-*")
    return any(TrialRecord(run).progress[0] > 0 for run in runs)


@pytest.mark.slow
def test_ctrl_c_ends_the_epoch_and_the_study_goes_on_by_the_same_command(folder: Path) -> None:
    with running(folder, "interrupted") as driver:
        driver.send_signal(signal.SIGINT)
        out, err = driver.communicate(timeout=120)
    assert driver.returncode == 130
    assert "interrupted: stopping: students save where they are; the same command goes on" in err
    assert err.strip().endswith("interrupted; the same command goes on from the last checkpoint")
    assert "`selkd sweep --resume interrupted`" in out
    study = Study.read("interrupted", Workspace(folder / ".selkd"))
    assert study.state.counts == {"stopped": 1}


@pytest.mark.slow
def test_a_study_is_stopped_from_another_process(folder: Path) -> None:
    with running(folder, "asked") as driver:
        found = selkd("study", "asked", "--stop", cwd=folder)
        assert found.returncode == 0, found.stderr
        assert "waiting for the driver" in found.stderr
        assert "asked: stopped (asked to stop)" in found.stdout
        driver.communicate(timeout=60)
    assert driver.returncode == 130


@pytest.mark.slow
def test_what_a_killed_driver_left_running_is_settled(folder: Path) -> None:
    with running(folder, "killed") as driver:
        driver.kill()
    found = selkd("study", "killed", "--stop", cwd=folder)
    assert "killed: stopped (its driver ended without a word)" in found.stdout
    workspace = Workspace(folder / ".selkd")
    [run] = workspace.runs.glob("killed-*")
    assert TrialRecord(run).status == "stopped"
    assert Study.read("killed", workspace).state.counts == {"stopped": 1}
