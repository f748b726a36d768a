"""Several workers through Ray Train: the student of one worker, also when a worker is killed."""

import json
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors.torch import load_file

from selkd.config import RunConfig, Workspace
from selkd.errors import UserError
from selkd.tracking import TrialRecord
from selkd.training.ray_entry import ENVIRONMENT
from selkd.training.run import Trained, train

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One local cluster for this file; its workers run in a copy of the source tree."""
    folder = tmp_path_factory.mktemp("ray")
    shutil.copytree(
        ROOT / "platform", folder / "tree" / "platform", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        import ray

        environment = {"working_dir": str(folder / "tree")}
        ray.init(
            "local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=40, runtime_env=environment
        )
        yield ray
        ray.shutdown()


def config(student_file: Path, count: int, *overrides: str) -> RunConfig:
    return RunConfig.read(student_file, [f"workers.count={count}", *overrides])


def gap(one: Trained, other: Trained) -> float:
    """Largest relative difference of any parameter."""
    a, b = (load_file(t.student / "weights.safetensors") for t in (one, other))
    return max(
        float((a[n].double() - b[n].double()).abs().max() / a[n].double().abs().max().clamp(min=1e-12)) for n in a
    )


@pytest.mark.parametrize("mode", ["closed", "open"])
def test_two_workers_through_ray_give_the_student_of_one(
    ray: Any, mode: str, workspace: Workspace, taught: Workspace, student_file: Path
) -> None:
    same = [
        "training.steps=5",
        "training.epochs=null",
        "training.precision=float64",
        "training.keep=last",
        f"task.mode={mode}",
    ]
    epochs: list[int] = []
    two = train(config(student_file, 2, *same), workspace, on_epoch=lambda e: epochs.append(e.epoch))
    one = train(config(student_file, 1, *same), taught, fresh=True)
    assert epochs
    assert gap(one, two) <= 1e-9


def test_a_killed_worker_is_replaced_and_the_student_is_the_same(
    ray: Any, workspace: Workspace, tmp_path: Path, taught: Workspace, student_file: Path, waiting: Callable[..., Any]
) -> None:
    settings = config(student_file, 2, "training.epochs=25", "training.keep=last", "data.rows_per_category=30")
    folder = workspace.runs / settings.key
    killed: list[int] = []

    def kill() -> None:
        waiting(lambda: (folder / "checkpoints" / "index.json").exists() and len(TrialRecord(folder).history()) >= 3)
        workers = [p for p in psutil.Process().children(recursive=True) if "RayTrainWorker" in " ".join(p.cmdline())]
        workers[-1].kill()
        killed.append(len(TrialRecord(folder).history()))

    killer = threading.Thread(target=kill)
    killer.start()
    disturbed = train(settings, workspace)
    killer.join()
    assert 3 <= killed[0] < 25
    undisturbed = train(settings, taught, fresh=True)
    assert gap(undisturbed, disturbed) == 0
    assert list(disturbed.history.index) == list(range(1, 26))


def test_a_users_mistake_in_a_worker_is_told_once(ray: Any, workspace: Workspace, student_file: Path) -> None:
    with pytest.raises(UserError, match="learning rate"):
        train(config(student_file, 2, "training.optimiser.lr=1e30"), workspace)


def test_import_platform_in_a_ray_working_directory_is_the_standard_library(ray: Any) -> None:
    def where() -> tuple[str, str, list[str]]:
        import platform

        return platform.__file__, platform.python_implementation(), [path.name for path in Path().iterdir()]

    file, implementation, listing = ray.get(ray.remote(where).remote())
    assert implementation == "CPython"
    assert "working_dir" not in file
    assert listing == ["platform"]


def test_doctor_starts_a_cluster_and_ends_it(selkd: Any) -> None:
    code, out, err = selkd.run("doctor", "--json")
    assert code == 0, err
    [check] = [c for c in json.loads(out) if c["name"] == "ray"]
    assert check["state"] == "ok"


def test_ctrl_c_ends_all_workers_and_leaves_a_resumable_run(
    selkd: Any, workspace: Workspace, student_file: Path, waiting: Callable[..., Any]
) -> None:
    longer = ["workers.count=2", "training.epochs=500"]
    settings = RunConfig.read(student_file, longer)
    process = selkd.start("train", student_file, *longer)
    waiting(
        lambda: (workspace.runs / settings.key / "checkpoints" / "index.json").exists() or process.poll() is not None
    )
    started = psutil.Process(process.pid).children(recursive=True)
    assert any("RayTrainWorker" in " ".join(p.cmdline()) for p in started)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "goes on from the last checkpoint" in err
    assert TrialRecord(workspace.runs / settings.key).status == "stopped"
    assert waiting(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in started))
