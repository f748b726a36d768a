"""Studies on a real Ray: what is recorded, who is stopped, what is refused, and what dies without harm."""

import contextlib
import os
import shutil
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlflow import MlflowClient

from selkd.config import Workspace
from selkd.errors import UserError
from selkd.files import read_json
from selkd.pools import train_pool
from selkd.sweeps.run import sweep
from selkd.sweeps.studies import STOP, Study
from selkd.tracking import TrialRecord, sync
from tests.end_to_end.outcomes import ends

pytestmark = pytest.mark.slow


def space(**changes: Any) -> dict[str, Any]:
    content: dict[str, Any] = {
        "name": "study",
        "base": {
            "task": {"categories": ["three", "five", "eight"], "mode": "open"},
            "teacher": "teacher",
            "student": {"model": "cnn", "width": 4},
            "objective": "selkd",
            "training": {"epochs": 6, "batch_size": 32},
            "workers": {"device": "cpu"},
        },
        "search": {"objective.epsilon": {"log": [0.5, 8.0]}},
        "metrics": {"validation/balanced": "maximise"},
        "budget": {"candidates": 4},
        "sampler": "random",
    }
    return content | changes


def longer(epochs: int, batch_size: int = 16) -> dict[str, Any]:
    return space()["base"] | {"training": {"epochs": epochs, "batch_size": batch_size}}


def processes(title: str = "Trainable.train") -> list[psutil.Process]:
    """Ray's processes whose title ends so; those that train students at this moment."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.cmdline()[0].endswith(title):
                found.append(process)
    return found


def test_every_trial_is_in_mlflow_once_with_its_place_in_the_study(ray, workspace: Workspace):
    study = sweep(space(budget={"candidates": 2, "seeds": 2}), workspace)
    assert study.status == "finished"
    client = MlflowClient(f"sqlite:///{workspace.root}/mlflow.db")
    experiment = client.get_experiment_by_name("study")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    trials = [run for run in runs if run.data.tags["selkd.kind"] == "trial"]
    assert sorted(run.data.tags["selkd.trial"] for run in trials) == sorted(study.state.trials)
    for run in trials:
        tags = run.data.tags
        trial = study.state.trials[tags["selkd.trial"]]
        assert (tags["selkd.candidate"], tags["selkd.seed"]) == (str(trial.number), str(trial.seed))
        assert (tags["selkd.objective"], tags["selkd.categories"]) == ("selkd", "three, five, eight")
        assert (tags["selkd.selection.samples"], tags["selkd.selection.categories"]) == ("all", "explicit")
        assert run.info.status == "FINISHED"
    [own] = [run for run in runs if run.data.tags["selkd.kind"] == "study"]
    assert own.info.status == "FINISHED"
    assert {item.path for item in client.list_artifacts(own.info.run_id)} == {"ledger.jsonl", "space.yaml"}
    assert len(client.get_metric_history(own.info.run_id, "candidate/validation/balanced")) == 2


def test_ray_does_not_start_for_a_study_that_is_finished(ray, workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    finished = sweep(space(budget={"candidates": 1}), workspace)
    monkeypatch.setattr("selkd.sweeps.run.started", None)
    again = sweep(space(budget={"candidates": 1}), workspace)
    assert again.status == "finished"
    assert again.table().equals(finished.table())
    with pytest.raises(TypeError):
        sweep(space(budget={"candidates": 2}), workspace)


def test_the_teacher_is_asked_once_for_all_students(ray, workspace: Workspace, tmp_path: Path):
    """When the evidence is there, no trial needs the teacher's weights: they may be gone."""
    assert sweep(space(budget={"candidates": 1}), workspace).status == "finished"
    shared = workspace.teachers.resolve()
    workspace.teachers.unlink()
    shutil.copytree(shared, workspace.teachers)
    (workspace.teachers / "teacher" / "weights.safetensors").unlink()
    study = sweep(space(name="other", budget={"candidates": 3}, concurrent=1), workspace)
    assert [t.status for t in study.state.trials.values()] == ["finished"] * 3


def test_whom_students_learn_from_and_what_categories_mean_are_searched(ray, workspace: Workspace, taught: Workspace):
    workspace.teachers.unlink()
    shutil.copytree(taught.teachers, workspace.teachers)
    base = {"student": {"model": "mlp", "hidden": [8]}, "training": {"epochs": 1}}
    pool = {"near": {"task.categories": ["three", "nine"]}, "far": {"task.categories": ["zero", "one", "two"]}}
    train_pool({"name": "pool", "base": base, "teachers": pool}, workspace)
    searched = {
        "semantics.source": {"choice": ["names", "zero-one", "classifier-rows"]},
        "selection.teachers.policy": {"choice": ["transport", "leep", "random"]},
        "selection.teachers.number": {"integer": [1, 2]},
        "objective.*": "declared",
    }
    run = {**longer(1), "objective": "transport", "selection": {"teachers": "random"}}
    del run["teacher"]
    study = sweep(space(base=run, search=searched, defaults=False, budget={"candidates": 6}), workspace)
    assert Counter(trial.status for trial in study.state.trials.values()) == {"finished": 6}
    found = [candidate.parameters for candidate in study.state.candidates.values()]
    for key in (*list(searched)[:3], "objective.kind", "objective.epsilon", "objective.student_temperature"):
        assert len({str(parameters[key]) for parameters in found}) > 1, key
    for key, trial in study.state.trials.items():
        chosen = read_json(workspace.runs / key / "selection.json")["teachers"]
        number = study.state.candidates[trial.number].parameters["selection.teachers.number"]
        assert len(chosen["chosen"]) == number


def test_a_student_that_cannot_be_trained_fails_with_the_reason_and_the_study_goes_on(ray, workspace: Workspace):
    search = {"training.batch_size": {"grid": [32, 100_000]}}
    study = sweep(space(search=search, sampler="grid", defaults=False, concurrent=1), workspace)
    verdicts = {c.parameters["training.batch_size"]: c for c in study.state.candidates.values()}
    assert verdicts[32].verdict == "complete"
    assert verdicts[100_000].verdict == "failed"
    assert "training.batch_size" in str(verdicts[100_000].reason)
    assert study.state.failures()
    assert max(ends(study).values()) == 1


def test_students_stopped_early_leave_their_actor_to_the_next(ray, workspace: Workspace):
    rule = {"rule": "asha", "first": 0.3, "factor": 3}
    search = {"training.optimiser.lr": {"log": [1e-5, 0.1]}}
    study = sweep(space(stopping=rule, search=search, budget={"candidates": 8}), workspace)
    pruned = [t for t in study.state.trials.values() if t.status == "pruned"]
    assert pruned and study.status == "finished"
    for trial in pruned:
        record = TrialRecord(workspace.runs / trial.key)
        assert record.status == "pruned"
        assert record.progress[0] < record.progress[1]
        assert "went on" in str(trial.reason)
    client = MlflowClient(f"sqlite:///{workspace.root}/mlflow.db")
    experiments = [e.experiment_id for e in client.search_experiments()]
    found = Counter(run.info.status for run in client.search_runs(experiments))
    assert found == {"KILLED": len(pruned), "FINISHED": len(study.state.trials) - len(pruned) + 1}
    assert not any(t.status in ("running", "waiting") for t in study.state.trials.values())


def test_a_killed_actor_is_replaced_and_its_student_goes_on(ray, workspace: Workspace, waiting):
    killed: list[int] = []

    def strike() -> None:
        progressed = waiting(lambda: list(workspace.runs.glob("*/checkpoints/index.json")))
        assert progressed
        process = waiting(processes)[0]
        killed.append(process.pid)
        process.kill()

    thread = threading.Thread(target=strike)
    thread.start()
    study = sweep(space(base=longer(60), budget={"candidates": 2}), workspace)
    thread.join()
    assert killed
    assert [t.status for t in study.state.trials.values()] == ["finished"] * 2
    assert sum(t.losses for t in study.state.trials.values()) == 1
    assert set(ends(study).values()) == {1}


@pytest.mark.parametrize("kill", [False, True])
def test_students_of_two_workers_train_on_two_cpus_one_after_another(ray, workspace: Workspace, waiting, kill):
    """The actor of a trial holds no CPU, and what killed ones had reserved is free again."""
    killed: list[str] = []

    def strike() -> None:
        for title in ("RayTrainWorker", "Trainable.train"):
            reached = max((TrialRecord(p.parent).progress[0] for p in workspace.runs.glob("*/ledger.jsonl")), default=0)
            waiting(
                lambda at=reached: any(
                    TrialRecord(p.parent).progress[0] > at for p in workspace.runs.glob("*/ledger.jsonl")
                )
            )
            process = waiting(lambda name=title: processes(name))[0]
            process.kill()
            killed.append(title)

    thread = threading.Thread(target=strike)
    if kill:
        thread.start()
    base = longer(20, 256) | {"workers": {"count": 2, "device": "cpu"}}
    study = sweep(space(base=base, budget={"candidates": 2}, stopping={"rule": "asha", "first": 0.2}), workspace)
    if kill:
        thread.join()
    assert len(killed) == (2 if kill else 0)
    assert {t.status for t in study.state.trials.values()} <= {"finished", "pruned"}
    assert study.status == "finished"
    assert set(ends(study).values()) == {1}


def test_a_tracking_server_that_is_away_costs_nothing(ray, workspace: Workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    study = sweep(space(budget={"candidates": 2}, concurrent=1), workspace)
    assert study.status == "finished"
    uri = f"sqlite:///{workspace.root}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert len(sync(workspace.root)) == 3
    client = MlflowClient(uri)
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert Counter(run.info.status for run in runs) == {"FINISHED": 3}


def test_a_full_disk_ends_the_study_and_with_more_room_it_goes_on(ray, taught: Workspace, small_disk):
    disk = small_disk(1_500_000)
    for name in ("data", "teachers", "evidence"):
        (disk / name).symlink_to(taught.root / name)
    workspace = Workspace(disk)
    settings = space(budget={"candidates": 30})
    with contextlib.suppress(UserError):
        study = sweep(settings, workspace)
        assert study.status == "stopped"
    os.system(f"mount -o remount,size=200000000 {disk}")
    assert not any(t.status == "failed" for t in Study.read("study", workspace).state.trials.values())
    study = sweep(settings | {"budget": {"candidates": 3}}, workspace)
    assert study.status == "finished"
    assert not any(t.status == "failed" for t in study.state.trials.values())
    assert set(ends(study).values()) == {1}


def test_a_second_driver_is_refused(ray, workspace: Workspace, waiting):
    refused: list[str] = []

    def intrude() -> None:
        waiting(lambda: list(workspace.runs.glob("*/ledger.jsonl")))
        try:
            sweep(space(), workspace)
        except UserError as error:
            refused.append(str(error))

    thread = threading.Thread(target=intrude)
    thread.start()
    sweep(space(base=longer(20), budget={"candidates": 2}, concurrent=1), workspace)
    thread.join()
    assert refused and "another driver" in refused[0] and "--stop" in refused[0]


def test_a_study_told_to_stop_ends_its_students_in_good_order_and_goes_on_later(ray, workspace: Workspace, waiting):
    def stop() -> None:
        waiting(lambda: list(workspace.runs.glob("*/checkpoints/index.json")))
        (workspace.studies / "study" / STOP).touch()

    thread = threading.Thread(target=stop)
    thread.start()
    settings = space(base=longer(60), budget={"candidates": 3})
    study = sweep(settings, workspace)
    thread.join()
    assert study.status == "stopped" and "asked to stop" in str(study.state.stopped)
    records = [TrialRecord(workspace.runs / key) for key in study.state.trials]
    assert {record.status for record in records} <= {"stopped", "finished", None}
    client = MlflowClient(f"sqlite:///{workspace.root}/mlflow.db")
    experiments = [e.experiment_id for e in client.search_experiments()]
    assert not [run for run in client.search_runs(experiments) if run.info.status == "RUNNING"]
    study = sweep(settings, workspace)
    assert study.status == "finished"
    assert set(ends(study).values()) == {1}


def test_a_changed_space_is_shown_and_refused_unless_told(ray, workspace: Workspace):
    sweep(space(budget={"candidates": 1}), workspace)
    other = space(base=longer(5), budget={"candidates": 2})
    with pytest.raises(UserError, match=r"training.epochs: 6 -> 5(.|\n)*--changed"):
        sweep(other, workspace)
    assert len(sweep(other, workspace, changed=True).state.candidates) == 2
    more = sweep(other | {"budget": {"candidates": 3}}, workspace)
    assert len(more.state.candidates) == 3, "a larger budget needs no leave"


@pytest.mark.parametrize(
    ("workers", "said"),
    [({"cpus": 4096}, "and this machine has|no node has more than"), ({"count": 64}, "there is room for")],
)
def test_resources_that_no_node_has_are_refused_at_once(ray, workspace: Workspace, workers, said):
    base = space()["base"] | {"workers": {"device": "cpu", **workers}}
    with pytest.raises(UserError, match=said):
        sweep(space(base=base), workspace)


def test_a_study_that_is_interrupted_from_the_keyboard_goes_on(ray, workspace: Workspace, waiting):
    def press() -> None:
        waiting(lambda: list(workspace.runs.glob("*/checkpoints/index.json")))
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=press)
    thread.start()
    settings = space(base=longer(60), budget={"candidates": 2})
    study = sweep(settings, workspace)
    thread.join()
    assert study.status == "stopped" and "SIGINT" in str(study.state.stopped)
    assert signal.getsignal(signal.SIGINT) is before
    assert sweep(settings, workspace).status == "finished"
