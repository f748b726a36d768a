"""A student goes through a real MLflow server to machines that never trained it, and is reproduced there."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import requests
import torch
from mlflow import MlflowClient
from PIL import Image

import selkd
from selkd.config import Workspace
from selkd.errors import UserError
from selkd.tracking import TrialRecord
from selkd.training.run import Trained, train

pytestmark = pytest.mark.slow
NAMES = ["three", "five", "eight", "nine", "not selected"]


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


@contextmanager
def listening(arguments: list[str], port: int, path: str, folder: Path, **environment: str) -> Iterator[str]:
    """A program of MLflow on loopback, from its first answer at `path` until it is ended with all it started."""
    with (folder / f"{port}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *arguments, "--host", "127.0.0.1", "--port", str(port)],
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", **environment},
            start_new_session=True,
        )
    try:
        for _ in range(1200):
            try:
                if requests.get(f"http://127.0.0.1:{port}{path}", timeout=1).ok:
                    break
            except requests.RequestException:
                pass
            assert process.poll() is None, (folder / f"{port}.log").read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    store = ["--backend-store-uri", f"sqlite:///{folder}/served.db", "--artifacts-destination", str(folder / "kept")]
    yielded = listening(
        ["server", *store, "--workers", "1"], free_port(), "/health", folder, MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"
    )
    with yielded as uri:
        yield uri


@pytest.fixture(scope="module")
def trained(taught: Workspace, server: str) -> Trained:
    """A student whose record went to the server."""
    config = {
        "name": "served",
        "task": {"categories": NAMES[:4], "mode": "open"},
        "teacher": "teacher",
        "student": {"model": "cnn", "width": 8},
        "objective": {"name": "selkd", "epsilon": 2.0},
        "training": {"epochs": 6, "batch_size": 32},
        "workers": {"device": "cpu"},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", server)
        return train(config, taught)


@pytest.fixture
def elsewhere(server: str, trained: Trained, taught: Workspace, tmp_path: Path, monkeypatch) -> Workspace:
    """The workspace of a machine that has the teacher, and has never seen the run."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    shutil.copytree(taught.teachers, tmp_path / "another machine" / "teachers")
    return Workspace(tmp_path / "another machine")


@pytest.fixture
def photos(taught: Workspace, tmp_path: Path) -> Path:
    """Thirty digits of all categories as image files."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rows = selkd.load("digits", root=taught.data).train
    for row, pixels in enumerate(rows.pixels(torch.arange(30))):
        Image.fromarray(pixels[0].numpy()).save(folder / f"{row:02d}.png")
    return folder


def run_of(server: str, trained: Trained) -> str:
    [run] = MlflowClient(server).search_runs(["1"], f"tags.`selkd.trial` = '{trained.key}'")
    return run.info.run_id


def test_a_run_is_reproduced_to_the_last_bit_on_a_machine_that_never_saw_it(server, trained, elsewhere):
    for name in (run_of(server, trained), trained.key):
        found = selkd.reproduce(name, elsewhere, tolerance=0)
        assert (found.verdict, found.likeness.weights, found.key) == ("identical", True, trained.key)
        assert set(found.likeness.answers) == {"validation", "test"}


def test_the_registered_student_answers_everywhere_like_the_one_that_was_trained(
    server, trained, taught, elsewhere, photos, tmp_path
):
    first = selkd.promote(trained.key, workspace=taught)
    assert (first.version, first.made, first.address) == ("1", True, "models:/served@champion")
    assert not selkd.promote(run_of(server, trained), workspace=elsewhere).made
    wanted = selkd.predict(trained.key, [photos], taught)
    assert set(wanted["rejected"]) == {True, False}
    for address in ("models:/served@champion", "models:/served/1", f"runs:/{run_of(server, trained)}/student"):
        pd.testing.assert_frame_equal(selkd.predict(address, [photos], elsewhere), wanted)
    scores = selkd.evaluate("models:/served@champion", "validation", elsewhere).metrics
    assert scores["balanced"] == pytest.approx(trained.metrics["validation/balanced"])
    with pytest.raises(UserError, match="counted where it was trained"):
        selkd.evaluate("models:/served@champion", "test", elsewhere)
    reads = TrialRecord(trained.folder).test_reads
    selkd.evaluate("models:/served@champion", "test", taught)
    assert TrialRecord(trained.folder).test_reads == reads + 1
    selkd.export("models:/served@champion", tmp_path / "student.pt2", elsewhere)
    assert (tmp_path / "student.pt2").is_file()
    (photos / "00.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"00\.png"):
        selkd.predict("models:/served@champion", [photos], elsewhere)


def test_mlflow_serves_the_answers_that_predict_gives(server, trained, taught, elsewhere, photos, tmp_path):
    selkd.promote(trained.key, name="over-http", workspace=taught)
    wanted = selkd.predict("models:/over-http@champion", [photos], elsewhere)
    images = [np.asarray(Image.open(file), dtype=np.float32)[None] / 255 for file in wanted["file"]]
    command = ["models", "serve", "--model-uri", "models:/over-http@champion", "--env-manager", "local"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # of an active environment: MLflow looks for uvicorn
    with listening(command, free_port(), "/ping", tmp_path, MLFLOW_TRACKING_URI=server, PATH=path) as address:
        reply = requests.post(f"{address}/invocations", json={"inputs": np.stack(images).tolist()}, timeout=60)
        refused = requests.post(f"{address}/invocations", json={"inputs": [[1.0]]}, timeout=60)
    assert reply.status_code == 200, reply.text
    answers = pd.DataFrame(reply.json()["predictions"])
    assert "not selected" in set(answers["category"])
    for column in ("category", "rejected"):
        assert answers[column].tolist() == wanted[column].tolist()
    for name in NAMES:
        np.testing.assert_allclose(answers[f"p/{name}"], wanted[f"p/{name}"], atol=1e-6)
    assert refused.status_code == 400 and "shape" in refused.text


@pytest.mark.parametrize("moment", ["registered_models", "model_versions"])
def test_promote_killed_in_the_middle_and_repeated_makes_one_version(
    server, trained, taught, elsewhere, waiting, moment
):
    client, name = MlflowClient(server), f"killed-{moment}"
    code = (
        f"import selkd; selkd.promote({trained.key!r}, name={name!r}, workspace=selkd.Workspace({str(taught.root)!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    waiting(lambda: getattr(client, f"search_{moment}")(f"name = '{name}'") or process.poll() is not None)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert selkd.promote(trained.key, name=name, workspace=taught).version == "1"
    assert [str(v.version) for v in client.search_model_versions(f"name = '{name}'")] == ["1"]
    assert str(client.get_model_version_by_alias(name, "champion").version) == "1"


def test_without_a_server_every_use_says_so(trained, taught, photos, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    for use in (
        lambda: selkd.predict("models:/served@champion", [photos], taught),
        lambda: selkd.promote(trained.key, workspace=taught),
        lambda: selkd.reproduce("0" * 32, taught),
    ):
        with pytest.raises(UserError, match=r"no answer.*MLFLOW_TRACKING_URI"):
            use()
