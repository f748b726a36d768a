"""A workspace, a small working tree, and jobs on it."""

import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from selkd.cluster import head
from selkd.cluster.job import Job
from selkd.config import Workspace

PACKAGE = Path(__file__).parents[2] / "platform"

SECRET = "correct-horse-battery-staple"
RECORDER = """#!{python}
import json, os, sys
given = "" if sys.stdin.isatty() or "-" not in sys.argv else sys.stdin.read()
with open({log!r}, "a") as log:
    log.write(json.dumps([sys.argv[1:], given]) + "\\n")
if "--output=jsonpath={{.metadata.uid}}" in sys.argv and "rayjob" in sys.argv:
    print("the-uid")
if "refused" in os.environ.get("PATCHES", "") and "patch" in sys.argv:
    sys.exit("forbidden")
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working tree without the package's source: jobs find the package as this process does."""
    monkeypatch.setenv("PYTHONPATH", str(PACKAGE))
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "notes.txt").write_text("what is to be done\n")
    return folder


@pytest.fixture
def job(tree: Path) -> Callable[..., Job]:
    """A job of this tree, `selkd doctor` unless told otherwise."""

    def make(**keys: Any) -> Job:
        environment = {"tree": str(tree), **keys.pop("environment", {})}
        return Job.of({"name": "job", "what": ["doctor", "--quick"], "environment": environment, **keys})

    return make


@pytest.fixture
def source(tree: Path) -> Callable[[str], None]:
    """Puts a `selkd` of its own into the tree, whose one command is a script."""

    def write(script: str) -> None:
        package = tree / "platform" / "selkd"
        (package / "cluster").mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "__main__.py").write_text(script)
        for name in ("__init__.py", "entry.py", "states.py"):
            shutil.copy(PACKAGE / "selkd" / "cluster" / name, package / "cluster")

    return write


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[head.Head]:
    """A Ray head with token and dashboard, on free ports; SOME_PASSWORD is in the environment that it began with."""
    workspace = Workspace(tmp_path_factory.mktemp("cluster"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOME_PASSWORD", SECRET)
        patch.setenv("PYTHONPATH", str(PACKAGE))
        found = head.up(workspace, cpus=2)
    try:
        yield found
    finally:
        assert head.down(workspace)


@pytest.fixture
def secret() -> str:
    return SECRET


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An executable of that name, first on the PATH, that writes down what it is given. Its file is returned."""
    folder, log = tmp_path / "bin", tmp_path / "kubectl.log"
    folder.mkdir()
    path = folder / "kubectl"
    path.write_text(RECORDER.format(python=sys.executable, log=str(log)))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return log
