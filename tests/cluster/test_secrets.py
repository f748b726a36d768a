"""A secret is in the environment of the command that needs it, and nowhere else that anyone could look."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import requests

from selkd.cluster.head import Head
from selkd.cluster.job import Job
from selkd.cluster.submission import Submission, submit
from selkd.config import Workspace

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


@pytest.fixture
def talkative(source: Callable[[str], None]) -> None:
    """The command prints its password, as none of ours would."""
    source(SCRIPT)


def look(submission: Submission, workspace: Workspace, secret: str) -> None:
    """Into every file of the workspace, every process's command line, and what the job printed."""
    seen = 0
    until = time.monotonic() + 120
    while not submission.state().ended and time.monotonic() < until:
        for line in lines_of_processes():
            assert secret not in line
            seen += "selkd.cluster.entry" in line
        time.sleep(0.1)
    assert seen, "the job's process was looked at while it ran"
    assert submission.wait(30).exit_code == 0
    assert secret.encode() not in everything_below(workspace.root)
    printed = "".join(submission.logs())
    assert "the password is ***" in printed, "platform/ is on the import path, and its output is filtered"
    assert "again ***" in printed
    assert secret not in json.dumps(submission.described())


@pytest.mark.parametrize("reference", ["env", "file"])
def test_on_this_machine(
    job: Callable[..., Job], talkative: None, workspace: Workspace, tmp_path: Path, secret: str,
    monkeypatch: pytest.MonkeyPatch, reference: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("SOME_PASSWORD", secret)
    (tmp_path / "password").write_text(secret + "\n")
    references = {"env": {"env": "SOME_PASSWORD"}, "file": {"file": str(tmp_path / "password")}}
    submission = submit(job(environment={"secrets": {"PASSWORD": references[reference]}}), workspace)
    look(submission, workspace, secret)


@pytest.mark.slow
def test_on_a_ray_cluster(
    job: Callable[..., Job], talkative: None, workspace: Workspace, secret: str, cluster: Head,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Nor in what Ray keeps of the job: its records, and every file of the cluster's session."""
    token = cluster.token.read_text()
    monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    secrets = {"PASSWORD": {"env": "SOME_PASSWORD"}}
    submission = submit(job(where={"ray": cluster.address}, environment={"secrets": secrets}), workspace)
    look(submission, workspace, secret)
    headers = {"Authorization": f"Bearer {token}"}
    told = requests.get(f"{cluster.address}/api/jobs/{submission.id}", headers=headers, timeout=30).text
    assert submission.id in told
    assert secret not in told
    kept = everything_below(cluster.temporary)
    assert submission.id.encode() in kept
    assert secret.encode() not in kept
    assert token.encode() not in kept
    assert not any(token in line for line in lines_of_processes())


def test_in_manifests_and_in_what_kubectl_is_given(
    job: Callable[..., Job], workspace: Workspace, kubectl: Path, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD", secret)
    reference = {"env": "PASSWORD", "kubernetes": {"name": "mlflow", "key": "password"}}
    submit(job(where="kuberay", environment={"secrets": {"PASSWORD": reference}}), workspace)
    given = kubectl.read_text()
    assert "secretKeyRef" in given
    assert secret not in given
    assert secret.encode() not in everything_below(workspace.root)


def test_this_process_does_not_show_its_own() -> None:
    """What the test itself looks at can fail: a secret on a command line is found."""
    with psutil.Popen(["sleep", "30.0012345"], env=os.environ) as process:
        try:
            assert any("30.0012345" in line for line in lines_of_processes())
        finally:
            process.kill()
