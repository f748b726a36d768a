"""Eight processes write at once to a server that asks who they are and keeps their files, and it dies meanwhile."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from selkd.errors import UserError
from selkd.tracking import TrialRecord, deliver, sync

pytestmark = pytest.mark.slow

WRITERS, STEPS = 8, 40
WRITER = """
import sys, time
from pathlib import Path
from selkd.tracking import Courier, TrialRecord
root, number, uri, steps = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
record = TrialRecord(root / "runs" / f"student-{number}")
config = {"experiment": "crowd", "seed": number, "task": {}, "teacher": None}
record.begin(record.folder.name, "student", config, {}, {})
courier = Courier(uri, "crowd")
for step in range(1, steps + 1):
    record.log(step, {"train/loss": number / step})
    courier.poke(record.folder)
    time.sleep(0.1)
record.finish("finished", {"test/accuracy": number / 10}, None)
courier.poke(record.folder)
courier.close(60)
"""


def test_an_outage_in_the_middle_of_eight_writers_loses_and_doubles_nothing(guarded, tmp_path, monkeypatch, knowing):
    guarded.start()
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(number), guarded.uri, str(STEPS)])
        for number in range(WRITERS)
    ]
    records = [TrialRecord(tmp_path / "runs" / f"student-{number}") for number in range(WRITERS)]
    while not all(len(record.history()) >= STEPS // 4 for record in records):
        assert not any(writer.poll() for writer in writers)
        time.sleep(0.05)
    os.killpg(guarded.process.pid, signal.SIGKILL)
    guarded.stop()
    while not all(len(record.history()) >= STEPS // 2 for record in records):
        time.sleep(0.05)
    guarded.start()
    assert [writer.wait(180) for writer in writers] == [0] * WRITERS
    monkeypatch.setenv("MLFLOW_TRACKING_URI", guarded.uri)
    sync(tmp_path)
    assert sync(tmp_path) == []

    client = MlflowClient(guarded.uri)
    experiment = client.get_experiment_by_name("crowd")
    assert experiment is not None
    assert experiment.artifact_location.startswith("mlflow-artifacts:"), "the server keeps the files"
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.tags["selkd.trial"] for run in runs) == [f"student-{number}" for number in range(WRITERS)]
    for run in runs:
        number = int(run.data.tags["selkd.trial"][-1])
        points = client.get_metric_history(run.info.run_id, "train/loss")
        assert [(p.step, p.value) for p in points] == [(step, number / step) for step in range(1, STEPS + 1)]
        assert run.info.status == "FINISHED"
        kept = Path(client.download_artifacts(run.info.run_id, "ledger.jsonl"))
        assert kept.read_bytes() == records[number].ledger.path.read_bytes()


def test_who_is_not_known_is_told_what_to_set(guarded, finished):
    if guarded.process is None:
        guarded.start()
    with pytest.raises(UserError, match="MLFLOW_TRACKING_USERNAME"):
        deliver(finished.folder, guarded.uri, "crowd")
