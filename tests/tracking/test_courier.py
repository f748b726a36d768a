import http.server
import logging
import socketserver
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient

from selkd.errors import UserError
from selkd.tracking import Courier, TrialRecord, delivery, pending, reachable, sync
from selkd.tracking import courier as courier_module
from selkd.tracking.delivery import missing

ENOUGH = 60.0
"""Seconds that a test waits for what must come; none of them waits that long when all is well."""


class Serving:
    """A server of handlers on a free port of this machine."""

    def __init__(self, handler: type[socketserver.BaseRequestHandler]) -> None:
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.uri = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))

    def __enter__(self) -> "Serving":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Broken(http.server.BaseHTTPRequestHandler):
    """Answers 500 to everything."""

    def do_GET(self) -> None:
        self.send_error(500)

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def released() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def silent(released: threading.Event) -> Iterator[str]:
    """A server that takes requests and says nothing until it is released; then it hangs up."""

    class Silent(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            released.wait(ENOUGH)

    with Serving(Silent) as serving:
        yield serving.uri
        released.set()


def train(record: TrialRecord, courier: Courier, steps: range) -> None:
    for step in steps:
        record.log(step, {"train/loss": 1 / step})
        courier.poke(record.folder)


def steps_in(uri: str) -> list[int]:
    client = MlflowClient(uri)
    [run] = client.search_runs([e.experiment_id for e in client.search_experiments()])
    return [p.step for p in client.get_metric_history(run.info.run_id, "train/loss")]


def test_everything_is_delivered_when_the_courier_is_closed(trial, uri):
    record = trial()
    courier = Courier(uri, "tests")
    train(record, courier, range(1, 30))
    assert courier.close(ENOUGH)
    assert steps_in(uri) == list(range(1, 30))
    assert pending(record.folder) == 0


def test_delivery_does_not_wait_for_the_end(trial, uri):
    record = trial()
    courier = Courier(uri, "tests")
    record.log(1, {"train/loss": 1.0})
    courier.poke(record.folder)
    waited = threading.Event()
    for _ in range(int(ENOUGH * 20)):
        if missing(record.folder, uri, "tests") == 0:
            break
        waited.wait(0.05)
    assert missing(record.folder, uri, "tests") == 0
    assert courier.close(ENOUGH)


def test_a_slow_server_is_waited_for_as_long_as_records_arrive(trial, uri, monkeypatch):
    """The clock stands still, so every record arrives at once as far as patience is concerned."""

    def slowly(*arguments: Any) -> int:
        time.sleep(0.1)
        return delivery.deliver(*arguments)

    monkeypatch.setattr(courier_module, "deliver", slowly)
    monkeypatch.setattr(courier_module, "time", SimpleNamespace(monotonic=lambda: 0.0))
    courier = Courier(uri, "tests")
    records = [trial(f"student-{number}") for number in range(5)]
    for record in records:
        courier.poke(record.folder)
    assert courier.close(0.05)
    assert [missing(record.folder, uri, "tests") for record in records] == [0] * 5


def test_what_begins_has_a_head_start_and_what_ends_is_delivered_at_once(trial, uri, monkeypatch):
    monkeypatch.setattr(courier_module, "HEAD_START", 600.0)
    record = trial()
    courier = Courier(uri, "tests")
    train(record, courier, range(1, 10))
    assert missing(record.folder, uri, "tests") == len(record.ledger.events())
    assert courier.close(ENOUGH)
    assert steps_in(uri) == list(range(1, 10))


def test_training_never_waits_for_a_server_that_does_not_answer(trial, silent, released, caplog):
    """The loop ends while the server still holds the first request."""
    record = trial()
    courier = Courier(silent, "tests")
    train(record, courier, range(1, 100))
    assert not released.is_set()
    assert not courier.close(0.01)
    released.set()
    assert not courier.close(ENOUGH)
    assert record.history().index.tolist() == list(range(1, 100))


@pytest.mark.parametrize("fault", ["absent", "answers 500"])
def test_a_server_that_is_down_costs_one_warning_and_sync_delivers_later(
    trial, uri, fault, caplog, tmp_path, monkeypatch
):
    with Serving(Broken) as serving:
        down = serving.uri if fault == "answers 500" else "http://127.0.0.1:1"
        assert reachable(down)
        record = trial()
        with caplog.at_level(logging.WARNING, "selkd"):
            courier = Courier(down, "tests")
            train(record, courier, range(1, 30))
            assert not courier.close(ENOUGH)
        warned = [r for r in caplog.records if r.name == "selkd.tracking.courier"]
        assert len(warned) == 1 and "selkd sync" in warned[0].getMessage()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", down)
        assert pending(record.folder) == len(record.ledger.events())
        with pytest.raises(UserError, match=r"student-1: MLflow at .*Start it"):
            sync(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert sync(tmp_path) == [("student-1", len(record.ledger.events()))]
    assert steps_in(uri) == list(range(1, 30))
    assert sync(tmp_path) == []


def test_one_damaged_trial_does_not_keep_the_others_back(trial, uri, tmp_path):
    for key in ("a", "b", "c"):
        courier = Courier("http://127.0.0.1:1", "tests")
        courier.poke(trial(key).folder)
        courier.close(ENOUGH)
    ledger = tmp_path / "runs" / "b" / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes().replace(b"student", b"stud3nt", 1))
    with pytest.raises(UserError, match=r"2 records delivered .*\n.*b: .*line 2: damaged"):
        sync(tmp_path)
    assert [pending(tmp_path / "runs" / key) for key in ("a", "c")] == [0, 0]


def test_a_workspace_without_trials_has_nothing_to_deliver(tmp_path):
    assert sync(tmp_path) == []
    assert not any(tmp_path.iterdir())
