"""A database of MLflow that holds synthetic studies, filled through the ledgers and the delivery that real ones use."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests
from mlflow import MlflowClient
from mlflow.entities import Run

from selkd.comparison import reading
from selkd.comparison.records import Records, read_records
from selkd.tracking import StudyRecord, TrialRecord, deliver, runs
from selkd.tracking.record import End

CONFIG = {
    "data": {"rows_per_category": 20, "seed": 0, "root": None},
    "task": {"categories": ["three", "five"], "mode": "closed"},
    "teacher": "wide",
    "objective": {"name": "kd", "temperature": 4.0},
    "training": {"epochs": 30, "optimiser": {"nesterov": False}},
}
SPACE = {
    "description": "synthetic",
    "search": {"objective.name": {"choice": ["kd", "selkd"]}},
    "metrics": {"validation/accuracy": "maximise"},
}
PROVENANCE = {"git": {"commit": "0" * 40, "dirty": False}, "versions": {"torch": "2.14.0"}}
TRACKING = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


class Store:
    """Studies below a folder, and the MLflow that they are delivered to."""

    def __init__(self, folder: Path, uri: str) -> None:
        self.folder, self.uri, self.cache = folder, uri, folder / "cache"

    def study(self, name: str, space: Mapping[str, Any] = SPACE, *, finished: bool = True) -> StudyRecord:
        record = StudyRecord(self.folder / "studies" / name)
        record.begin(name, space, PROVENANCE)
        if finished:
            record.stop(True, "every candidate was tried")
        deliver(record.folder, self.uri, name)
        return record

    def trial(
        self,
        study: str,
        objective: str = "kd",
        seed: int = 0,
        *,
        metrics: Mapping[str, float] | None = None,
        config: Mapping[str, Any] = CONFIG,
        status: End | None = "finished",
        reason: str | None = None,
        role: str = "student",
        candidate: int = 0,
        categories: str = "three, five",
        tags: Mapping[str, str] | None = None,
        delivered: bool = True,
    ) -> TrialRecord:
        """One trial of a study; without a status it goes on. Delivered at once, unless told."""
        key = f"{study}-{objective}-{role}-{seed}"
        record = TrialRecord(self.folder / "runs" / key)
        said = {"selkd.kind": "trial", "selkd.study": study, "selkd.candidate": str(candidate), "selkd.role": role}
        said |= {"selkd.seed": str(seed), "selkd.categories": categories}
        whole = {"name": study, "seed": seed, **config}
        whole["objective"] = {**whole.get("objective", {}), "name": objective}
        record.begin(key, study, whole, said | dict(tags or {}), PROVENANCE)
        record.log(1, {"train/loss": 1.0, "validation/accuracy": 0.1})
        if status is not None:
            scores = {"validation/accuracy": 0.7, "test/accuracy": 0.6} if metrics is None else dict(metrics)
            record.finish(status, scores if status == "finished" else {}, reason)
        if delivered:
            deliver(record.folder, self.uri, study)
        return record

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.uri)

    def runs(self, study: str) -> list[Run]:
        """The active runs of a study, as MLflow has them."""
        experiment = self.client.get_experiment_by_name(study)
        assert experiment is not None
        return list(self.client.search_runs([experiment.experiment_id]))

    def run_of(self, key: str, study: str = "s") -> str:
        [run] = [run for run in self.runs(study) if run.data.tags.get("selkd.trial") == key]
        return run.info.run_id

    def without_cache(self) -> "Store":
        """The same MLflow, of which nobody has read anything."""
        other = Store(self.folder, self.uri)
        other.cache = self.folder / uuid.uuid4().hex
        return other

    def read(self, *studies: str, **settings: Any) -> Records:
        return read_records(studies, self.uri, self.cache, **settings)


@pytest.fixture
def new_store(empty_store: Path, tmp_path: Path) -> Callable[[str], Store]:
    def made(name: str) -> Store:
        (tmp_path / name).mkdir()
        shutil.copy(empty_store, tmp_path / name / "mlflow.db")
        return Store(tmp_path / name, f"sqlite:///{tmp_path}/{name}/mlflow.db")

    return made


@pytest.fixture
def store(new_store: Callable[[str], Store]) -> Store:
    """An empty one."""
    return new_store("workspace")


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A real tracking server on this machine alone."""
    folder = tmp_path_factory.mktemp("served")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    database, files = f"sqlite:///{folder}/served.db", str(folder / "files")
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database, "--port", str(port)]
    command += ["--artifacts-destination", files, "--host", "127.0.0.1", "--workers", "1"]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, env=os.environ | TRACKING, start_new_session=True
        )
    try:
        for _ in range(1200):
            try:
                if requests.get(f"{uri}/health", timeout=1).ok:
                    break
            except requests.RequestException:
                pass
            assert process.poll() is None, (folder / "server.log").read_text()
            time.sleep(0.1)
        yield Store(folder, uri)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that were fetched from MLflow, one by one."""
    fetched: list[str] = []
    plain = runs._plain
    monkeypatch.setattr(runs, "_plain", lambda run: fetched.append(run.info.run_id) or plain(run))
    return fetched


@pytest.fixture
def no_slack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clocks that agree, so that what arrived before the last reading is not asked for again."""
    monkeypatch.setattr(reading, "SLACK", 0.0)


@pytest.fixture
def same() -> Callable[[Records, Records], None]:
    def compared(one: Records, other: Records) -> None:
        """Two readings tell the same, in whichever order."""
        for name in ("trials", "config", "metrics", "provenance"):
            left, right = getattr(one, name).sort_index(), getattr(other, name).sort_index()
            pd.testing.assert_frame_equal(left, right, check_like=True)
        order = ["study", "run"]
        left, right = (r.excluded.sort_values(order).reset_index(drop=True) for r in (one, other))
        pd.testing.assert_frame_equal(left, right)
        assert one.studies == other.studies

    return compared
