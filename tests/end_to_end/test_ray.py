"""Several workers through Ray Train: the student of one worker, also when a worker is killed."""

import shutil
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
from selkd.training.ray_entry import started
from selkd.training.run import Trained, train

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One local cluster for this file, with a token of its own."""
    folder = tmp_path_factory.mktemp("ray")
    (folder / "token").write_text("0" * 32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN_PATH", str(folder / "token"))
        patch.delenv("RAY_ADDRESS", raising=False)
        with started(2) as running:
            yield running


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


def test_import_platform_in_a_ray_working_directory_is_the_standard_library(ray: Any, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "platform", tmp_path / "platform", ignore=shutil.ignore_patterns("__pycache__"))

    def where() -> tuple[str, str, str]:
        import os
        import platform

        return platform.__file__, platform.python_implementation(), " ".join(sorted(os.listdir()))  # noqa: PTH208

    remote = ray.remote(where).options(runtime_env={"working_dir": str(tmp_path)})
    file, implementation, listing = ray.get(remote.remote())
    assert implementation == "CPython"
    assert str(tmp_path) not in file
    assert "platform" in listing
