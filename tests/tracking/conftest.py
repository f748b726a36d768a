"""Trials to record, a database to deliver to, and a real server that can be stopped and started."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import torch
from mlflow import MlflowClient

from selkd import models
from selkd.models.classifier import Classifier
from selkd.tracking import StudentCard, TrialRecord, save_student

CONFIG = {"experiment": "tests", "seed": 3, "task": {"categories": ["three", "five"], "mode": "open"}, "teacher": None}
PROVENANCE = {"git": {"commit": "0" * 40, "dirty": False}, "versions": {"torch": "2"}}
USER, PASSWORD = "selkd", "long-enough-for-mlflow"


class Server:
    """A tracking server in a process group of its own."""

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        self.folder, self.options, self.environment = folder, options, environment
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        store = ["--backend-store-uri", f"sqlite:///{self.folder}/served.db", "--artifacts-destination", self.folder]
        where = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *map(str, store), *where, *self.options],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={
                    **os.environ,
                    "MLFLOW_DISABLE_TELEMETRY": "true",
                    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                    **self.environment,
                },
                start_new_session=True,
            )
        for _ in range(600):
            try:
                if requests.get(f"{self.uri}/health", timeout=1).ok:
                    return
            except requests.RequestException:
                pass
            assert self.process.poll() is None, (self.folder / "server.log").read_text()
            time.sleep(0.1)
        raise AssertionError("the server does not answer")

    def stop(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
            self.process = None


@pytest.fixture(scope="session")
def session_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.stop()


@pytest.fixture
def server(session_server: Server) -> Server:
    """The session's server, running."""
    if session_server.process is None:
        session_server.start()
    return session_server


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for a user and a password, not started."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = NO_PERMISSIONS\ndatabase_uri = sqlite:///{folder}/users.db\n"
        f"admin_username = {USER}\nadmin_password = {PASSWORD}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    server = Server(
        folder, "--app-name", "basic-auth",
        MLFLOW_AUTH_CONFIG_PATH=str(folder / "auth.ini"), MLFLOW_FLASK_SERVER_SECRET_KEY="of the tests alone",
    )  # fmt: skip
    yield server
    server.stop()


@pytest.fixture
def knowing(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process and those it starts know the user and the password."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)


@pytest.fixture(autouse=True)
def no_head_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test's training is over before a courier would begin."""
    monkeypatch.setattr("selkd.tracking.courier.HEAD_START", 0.0)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def uri(tmp_path: Path, empty_store: Path) -> str:
    """The database of the workspace `tmp_path`."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture
def classifier() -> Classifier:
    torch.manual_seed(0)
    network = models.build("cnn", channels=1, outputs=3, image_size=8, width=2)
    return Classifier(network, [0.5], [0.25]).eval()


@pytest.fixture
def card() -> StudentCard:
    return StudentCard(
        categories=("three", "five"),
        mode="open",
        architecture="cnn",
        settings={"width": 2},
        channels=1,
        image_size=8,
        mean=(0.5,),
        std=(0.25,),
        threshold=0.6,
    )


@pytest.fixture
def trial(tmp_path: Path) -> Callable[..., TrialRecord]:
    """Begin the trial of a key below the workspace `tmp_path`."""

    def begin(key: str = "student-1") -> TrialRecord:
        record = TrialRecord(tmp_path / "runs" / key)
        record.begin(key, "student", CONFIG, {"selkd.objective": "kd"}, PROVENANCE)
        return record

    return begin


@pytest.fixture
def finished(trial: Callable[..., TrialRecord], classifier: Classifier, card: StudentCard) -> TrialRecord:
    """A finished trial of three epochs, with a figure and a student."""
    record = trial()
    for step in (1, 2, 3):
        record.log(step, {"train/loss": 1 / step, "validation/accuracy": step / 4, "validation/auroc": float("nan")})
    figure = record.folder / "figures" / "curves.png"
    figure.parent.mkdir()
    figure.write_bytes(b"a picture")
    record.artifact(figure, "figures")
    record.count_test_read()
    save_student(record.folder / "student", classifier, card)
    record.finish("finished", {"validation/accuracy": 0.75, "test/accuracy": 0.5}, None)
    return record


class Dying:
    """A client whose owner dies right after its call number `last` took effect."""

    def __init__(self, client: MlflowClient, last: int) -> None:
        self.client, self.left = client, last

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            found = getattr(self.client, name)(*args, **kwargs)
            self.left -= 1
            if self.left == 0:
                raise SystemExit
            return found

        return call


@pytest.fixture
def dying() -> type[Dying]:
    return Dying
