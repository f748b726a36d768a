"""Delivery through a real tracking server that is stopped, killed and slow."""

import os
import select
import signal
import socket
import socketserver
import threading
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from selkd.tracking import Courier, deliver, pending, sync
from selkd.tracking.delivery import missing

pytestmark = pytest.mark.slow
ENOUGH = 60.0


@pytest.fixture
def experiment(tmp_path):
    return tmp_path.name


def the_run(server, experiment):
    client = MlflowClient(server.uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    [run] = client.search_runs([found.experiment_id])
    return client, run


def steps_in(server, experiment):
    client, run = the_run(server, experiment)
    return [p.step for p in client.get_metric_history(run.info.run_id, "train/loss")]


def train(record, courier, steps):
    for step in steps:
        record.log(step, {"train/loss": 1 / step})
        courier.poke(record.folder)


def until(condition):
    deadline = time.monotonic() + ENOUGH
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def test_a_server_gets_the_whole_record_and_nothing_is_printed(server, finished, experiment, capfd):
    assert deliver(finished.folder, server.uri, experiment) == len(finished.ledger.events())
    for path in finished.folder.glob("delivered-*.json"):
        path.unlink()
    deliver(finished.folder, server.uri, experiment)
    assert capfd.readouterr() == ("", "")
    assert steps_in(server, experiment) == [1, 2, 3]
    client, run = the_run(server, experiment)
    assert run.info.status == "FINISHED"
    picture = client.download_artifacts(run.info.run_id, "figures/curves.png")
    assert Path(picture).read_bytes() == b"a picture"
    [model] = client.search_logged_models([run.info.experiment_id])
    assert str(model.status) == "READY"


def test_a_server_killed_in_mid_run_gets_the_rest_by_sync(server, trial, experiment, tmp_path, monkeypatch):
    """It is killed while it is written to; training goes on; nothing is lost or doubled."""
    record = trial()
    courier = Courier(server.uri, experiment)
    for step in range(1, 200):
        record.log(step, {"train/loss": 1 / step})
        record.count_test_read()
    courier.poke(record.folder)
    until(lambda: missing(record.folder, server.uri, experiment) < 390)
    os.killpg(server.process.pid, signal.SIGKILL)
    train(record, courier, range(200, 250))
    record.finish("finished", {"test/accuracy": 0.5}, None)
    assert not courier.close(ENOUGH)
    server.stop()
    left = missing(record.folder, server.uri, experiment)
    assert 50 < left < 442
    server.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    assert pending(record.folder) == left
    assert sync(tmp_path) == [("student-1", left)]
    assert steps_in(server, experiment) == list(range(1, 250))
    assert the_run(server, experiment)[1].info.status == "FINISHED"
    assert sync(tmp_path) == []


@pytest.fixture
def gate():
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def slow(server, gate):
    """The server behind a proxy that passes nothing on while the gate is closed."""

    class Proxy(socketserver.BaseRequestHandler):
        def handle(self):
            with socket.create_connection(("127.0.0.1", server.port)) as upstream:
                other = {self.request: upstream, upstream: self.request}
                while True:
                    ready, _, _ = select.select(list(other), [], [], ENOUGH)
                    gate.wait(ENOUGH)
                    for side in ready:
                        content = side.recv(65536)
                        if not content:
                            return
                        other[side].sendall(content)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Proxy) as proxy:
        proxy.daemon_threads = True
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{proxy.server_address[1]}"
        gate.set()
        proxy.shutdown()
        thread.join()


def test_training_ends_before_a_slow_server_has_answered_once(server, slow, gate, trial, experiment):
    record = trial()
    courier = Courier(slow, experiment)
    train(record, courier, range(1, 100))
    assert missing(record.folder, slow, experiment) == len(record.ledger.events())
    gate.set()
    assert courier.close(ENOUGH)
    assert steps_in(server, experiment) == list(range(1, 100))
