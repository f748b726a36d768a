"""A secret is in the environment of the command that needs it, and nowhere else that anyone could look."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from selkd.cluster.job import Job
from selkd.cluster.submission import Submission, submit
from selkd.config import Workspace

SECRET = "correct-horse-battery-staple"
SCRIPT = """
import os, sys, time
print("the password is", os.environ["PASSWORD"], flush=True)
print("again", os.environ["PASSWORD"], file=sys.stderr, flush=True)
time.sleep(5)
"""


def lines_of_processes() -> Iterator[str]:
    """What everybody may read: /proc/*/cmdline."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue


def everything_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def look(submission: Submission, workspace: Workspace) -> None:
    """Into every file of the workspace, every process's command line, and what the job printed."""
    seen = 0
    until = time.monotonic() + 60
    while not submission.state().ended and time.monotonic() < until:
        for line in lines_of_processes():
            assert SECRET not in line
            seen += "selkd.cluster.entry" in line
        time.sleep(0.1)
    assert seen, "the job's process was looked at while it ran"
    assert SECRET.encode() not in everything_below(workspace.root)
    printed = "".join(submission.logs())
    assert "the password is ***" in printed
    assert "again ***" in printed
    assert SECRET not in json.dumps(submission.described())


@pytest.mark.parametrize("reference", ["env", "file"])
def test_on_this_machine(
    job: Callable[..., Job], tree: Path, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    reference: str,
) -> None:  # fmt: skip
    """The command is a `selkd` of the tree itself, which prints its password as no command of ours would."""
    package = tree / "platform" / "selkd"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(SCRIPT)
    (package / "cluster").symlink_to(Path(__file__).parents[2] / "platform" / "selkd" / "cluster")
    monkeypatch.setenv("SOME_PASSWORD", SECRET)
    (tmp_path / "password").write_text(SECRET + "\n")
    references = {"env": {"env": "SOME_PASSWORD"}, "file": {"file": str(tmp_path / "password")}}
    found = job(environment={"secrets": {"PASSWORD": references[reference]}})
    submission = submit(found, workspace)
    look(submission, workspace)
    assert submission.wait(30).exit_code == 0


def test_in_manifests_and_in_what_kubectl_is_given(
    job: Callable[..., Job], workspace: Workspace, kubectl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD", SECRET)
    reference = {"env": "PASSWORD", "kubernetes": {"name": "mlflow", "key": "password"}}
    submit(job(where="kuberay", environment={"secrets": {"PASSWORD": reference}}), workspace)
    given = kubectl.read_text()
    assert "secretKeyRef" in given
    assert SECRET not in given
    assert SECRET.encode() not in everything_below(workspace.root)


def test_this_process_does_not_show_its_own() -> None:
    """What the test itself looks at can fail: a secret on a command line is found."""
    with psutil.Popen(["sleep", "30.0012345"], env=os.environ) as process:
        try:
            assert any("30.0012345" in line for line in lines_of_processes())
        finally:
            process.kill()
