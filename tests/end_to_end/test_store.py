"""A study that is killed on one machine and goes on, from the store alone, on another."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from selkd.config import Workspace
from selkd.files import checksum
from selkd.store import store
from selkd.sweeps.studies import Study
from selkd.tracking import TrialRecord
from tests.end_to_end.outcomes import ends

pytestmark = pytest.mark.slow

SPACE: dict[str, Any] = {
    "name": "study",
    "base": {
        "task": {"categories": ["three", "five", "eight"], "mode": "open"},
        "teacher": "teacher",
        "student": {"model": "cnn", "width": 4},
        "objective": "selkd",
        "training": {"epochs": 12, "batch_size": 16},
        "workers": {"device": "cpu"},
    },
    "search": {"objective.epsilon": {"log": [0.5, 8.0]}},
    "metrics": {"validation/balanced": "maximise"},
    "budget": {"candidates": 5},
    "sampler": "random",
}


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a store on an S3-compatible server."""
    import urllib.request

    from moto.server import ThreadedMotoServer

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "nobody")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/bucket", method="PUT"))
    yield f"s3://bucket/prefix?endpoint_override={host}:{port}&scheme=http&region=us-east-1"
    server.stop()


def weights(workspace: Workspace) -> dict[str, str]:
    files = workspace.runs.glob("*/student/weights.safetensors")
    return {path.parent.parent.name: checksum(path) for path in files}


def test_a_study_killed_on_one_machine_ends_on_another_as_if_undisturbed(
    selkd: Any,
    taught: Workspace,
    workspace: Workspace,
    tmp_path: Path,
    s3: str,
    monkeypatch: pytest.MonkeyPatch,
    waiting: Callable[..., Any],
) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(yaml.safe_dump(SPACE))
    code, _, err = selkd.run("sweep", space)
    assert code == 0, err
    undisturbed = weights(workspace)
    assert len(undisturbed) == SPACE["budget"]["candidates"]

    def machine(name: str) -> Workspace:
        found = Workspace(tmp_path / name)
        keys = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "nobody")
        selkd.environment |= {"SELKD_WORKSPACE": str(found.root), "SELKD_STORE": s3, **keys}
        return found

    monkeypatch.setenv("SELKD_STORE", s3)
    a = machine("a")
    shutil.copytree(taught.teachers / "teacher", a.teachers / "teacher")
    store().publish(a.teachers / "teacher")
    process = selkd.start("sweep", space)
    kept = store()
    waiting(lambda: process.poll() is not None or len(list(a.runs.glob("*/student/card.json"))) >= 2, 300)
    waiting(lambda: process.poll() is not None or len(kept.names("runs")) >= 2, 60)
    assert process.poll() is None, process.communicate()
    end(process)
    finished_on_a = {path.name for path in a.runs.iterdir() if TrialRecord(path).status == "finished"}
    ids = {key: TrialRecord(a.runs / key).ledger.id for key in finished_on_a}
    a.root.rename(tmp_path / "gone")  # with all that it had

    b = machine("b")
    code, _, err = selkd.run("sweep", space)
    assert code == 0, err
    assert "waiting up to" in err
    study = Study.read("study", b)
    assert study.status == "finished"
    assert weights(b) == undisturbed
    assert ends(study) == dict.fromkeys(undisturbed, 1)
    assert finished_on_a
    again = [key for key in finished_on_a if TrialRecord(b.runs / key).ledger.id != ids[key]]
    assert len(again) <= 1, "a student is trained again only where the machine died before it was published"

    c = Workspace(tmp_path / "c")
    assert Study.read("study", c).table().equals(study.table())


def end(process: subprocess.Popen[str]) -> None:
    """The machine dies: its driver, Ray, and everything else."""
    tree = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGKILL)
    for one in tree:
        with contextlib.suppress(psutil.Error):
            one.kill()
    process.communicate()
