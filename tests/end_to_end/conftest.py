"""A trained teacher, the command line as a process, and small or read-only disks."""

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from selkd.cli import main
from selkd.config import RunConfig, Workspace
from selkd.training.ray_entry import ENVIRONMENT, started
from selkd.training.teach import teach

TEACHER = {"name": "teacher", "student": {"model": "cnn", "width": 8}, "training": {"epochs": 3}}
STUDENT: dict[str, Any] = {
    "name": "student",
    "data": {"augment": {"crop": 1}},
    "task": {"categories": ["three", "five", "eight", "nine"], "mode": "open"},
    "teacher": "teacher",
    "student": {"model": "cnn", "width": 4},
    "objective": {"name": "selkd", "epsilon": 2.0},
    "training": {"epochs": 4, "batch_size": 32},
    "workers": {"device": "cpu"},
}


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Workspace:
    """A workspace with a teacher of the digits."""
    workspace = Workspace(tmp_path_factory.mktemp("taught"))
    shutil.copy(empty_store, workspace.root / "mlflow.db")
    teach(RunConfig.model_validate(TEACHER), workspace)
    return workspace


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """One local cluster of two CPUs for a file; its dashboard frees what killed trials leave reserved."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        with started(2, dashboard=True) as running:
            yield running


@pytest.fixture
def workspace(taught: Workspace, empty_store: Path, tmp_path: Path) -> Workspace:
    """A workspace of its own that shares data, teacher and evidence, with an empty MLflow."""
    root = tmp_path / "workspace"
    root.mkdir()
    shutil.copy(empty_store, root / "mlflow.db")
    for name in ("data", "teachers", "evidence"):
        (taught.root / name).mkdir(exist_ok=True)
        (root / name).symlink_to(taught.root / name)
    return Workspace(root)


@pytest.fixture
def student_file(tmp_path: Path) -> Path:
    path = tmp_path / "student.yaml"
    path.write_text(yaml.safe_dump(STUDENT))
    return path


class Commands:
    """`selkd` as a process in a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self.environment = {**os.environ, "SELKD_WORKSPACE": str(workspace.root), "COLUMNS": "200"}
        self.environment.pop("MLFLOW_TRACKING_URI", None)

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", "from selkd.cli import main; main()", *map(str, arguments)]
        return subprocess.Popen(
            command,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str | Path) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=300)
        return process.returncode, out, err

    def here(self, *arguments: str | Path) -> tuple[int, str, str]:
        """The same without another process, which would only import everything again."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            patch.setattr(sys, "argv", ["selkd", *map(str, arguments)])
            patch.setenv("SELKD_WORKSPACE", self.environment["SELKD_WORKSPACE"])
            with pytest.raises(SystemExit) as end:
                main()
        return int(end.value.code or 0), out.getvalue(), err.getvalue()


@pytest.fixture
def selkd(workspace: Workspace) -> Commands:
    return Commands(workspace)


def wait_for(condition: Callable[[], Any], seconds: float = 120) -> Any:
    """The first true value of `condition`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("waited in vain")


@pytest.fixture
def waiting() -> Callable[..., Any]:
    return wait_for


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Makes a file system of so many bytes."""
    mounted: list[Path] = []

    def make(size: int) -> Path:
        folder = tmp_path / "small"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("this machine does not let us mount a small file system")
        mounted.append(folder)
        return folder

    yield make
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def end_group(process: subprocess.Popen[str]) -> None:
    """Kill a process and all that it started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
