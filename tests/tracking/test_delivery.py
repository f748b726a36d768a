import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

from selkd.errors import UserError
from selkd.tracking import Ledger, TrialRecord, deliver, delivery, pending, tracking_uri
from selkd.tracking.names import DELIVERED

DELIVERER = """
import sys
from pathlib import Path
from selkd.tracking import deliver
deliver(Path(sys.argv[1]), sys.argv[2], "tests")
"""


def the_run(uri: str, experiment: str = "tests") -> Any:
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    [run] = client.search_runs([found.experiment_id])
    return run


def points(uri: str) -> list[tuple[str, int, int, float]]:
    """Every point of the only run: name, step, time, value. When it was delivered is no point of the trial's."""
    client, run = MlflowClient(uri), the_run(uri)
    names = run.data.metrics.keys() - {DELIVERED}
    found = [p for name in names for p in client.get_metric_history(run.info.run_id, name)]
    return sorted((p.key, p.step, p.timestamp, p.value) for p in found)


def expected(record: TrialRecord) -> list[tuple[str, int, int, float]]:
    found = []
    for event in record.ledger.events():
        if event["event"] == "log":
            found += [(n, event["step"], event["time"], float(v)) for n, v in event["metrics"].items()]
    last = max(step for _, step, _, _ in found)
    for event in record.ledger.events():
        if event["event"] == "finish" and event["status"] == "finished":
            found += [(n, last + 1, event["time"], float(v)) for n, v in event["metrics"].items()]
    return sorted(found)


def forget(folder: Path) -> None:
    for path in folder.glob("delivered-*.json"):
        path.unlink()


def whole(uri: str, record: TrialRecord) -> None:
    """The run says what the ledger says, once."""
    client, run = MlflowClient(uri), the_run(uri)
    assert repr(points(uri)) == repr(expected(record))
    assert run.info.status == "FINISHED"
    assert run.data.tags["selkd.trial"] == record.folder.name
    assert run.data.tags["selkd.test_reads"] == "1"
    assert run.data.params["task.mode"] == "open"
    files = {f.path for f in client.list_artifacts(run.info.run_id)}
    assert files >= {"config.yaml", "ledger.jsonl", "figures"}
    models = client.search_logged_models([run.info.experiment_id])
    assert [(m.name, str(m.status)) for m in models] == [("student", "READY")]
    assert len(run.outputs.model_outputs) == 1


def test_the_run_says_what_the_ledger_says(finished, uri):
    assert deliver(finished.folder, uri, "tests") == len(finished.ledger.events())
    whole(uri, finished)
    run = the_run(uri)
    assert run.data.params["task.categories"] == '["three", "five"]'
    assert run.data.params["teacher"] == "null"
    assert run.data.tags["selkd.provenance.git.commit"] == "0" * 40
    begun, ended = finished.ledger.events()[1], finished.ledger.events()[-1]
    assert (run.info.start_time, run.info.end_time) == (begun["time"], ended["time"])


def test_artifacts_stay_in_the_workspace(finished, uri, tmp_path):
    deliver(finished.folder, uri, "tests")
    assert the_run(uri).info.artifact_uri.startswith((tmp_path / "mlartifacts").as_uri())


def test_delivering_again_doubles_nothing_even_when_the_cursor_is_lost(finished, uri):
    deliver(finished.folder, uri, "tests")
    assert deliver(finished.folder, uri, "tests") == 0
    forget(finished.folder)
    deliver(finished.folder, uri, "tests")
    whole(uri, finished)


def test_only_what_is_new_is_delivered(trial, uri):
    record = trial()
    before = deliver(record.folder, uri, "tests")
    record.log(1, {"a": 1.0})
    record.log(2, {"a": 2.0})
    assert deliver(record.folder, uri, "tests") == 2
    assert before == len(record.ledger.events()) - 2
    assert [(name, step) for name, step, _, _ in points(uri)] == [("a", 1), ("a", 2)]


def test_dying_after_any_call_to_mlflow_loses_and_doubles_nothing(finished, uri, monkeypatch, dying):
    connect = delivery.connect
    deaths = 0
    for last in range(1, 100):
        monkeypatch.setattr(delivery, "connect", lambda uri, last=last: dying(connect(uri), last))
        forget(finished.folder)
        try:
            deliver(finished.folder, uri, "tests")
            break
        except SystemExit:
            deaths += 1
    assert deaths > 15
    whole(uri, finished)


@pytest.mark.slow
def test_kill_9_in_the_middle_of_delivering_loses_and_doubles_nothing(trial, uri):
    record = trial()
    for step in range(200):
        record.log(step, {"a": step / 7})
        record.count_test_read()
    cursor = delivery._path(record.folder, uri, "tests")
    child = subprocess.Popen([sys.executable, "-c", DELIVERER, str(record.folder), uri])
    while child.poll() is None and (not cursor.exists() or not 0 < pending_in(record, uri) < 360):
        time.sleep(0.001)
    child.send_signal(signal.SIGKILL)
    child.wait()
    left = pending_in(record, uri)
    assert 0 < left < 400
    assert deliver(record.folder, uri, "tests") == left
    assert [step for _, step, _, _ in points(uri)] == list(range(200))


def pending_in(record: TrialRecord, uri: str) -> int:
    return delivery.missing(record.folder, uri, "tests")


def test_delivering_from_two_threads_makes_one_run(finished, uri):
    threads = [threading.Thread(target=deliver, args=(finished.folder, uri, "tests")) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole(uri, finished)


def test_trials_that_begin_at_once_share_one_experiment(trial, uri):
    records = [trial(f"student-{k}") for k in range(4)]
    threads = [threading.Thread(target=deliver, args=(record.folder, uri, "tests")) for record in records]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client = MlflowClient(uri)
    [experiment] = [e for e in client.search_experiments() if e.name == "tests"]
    runs = client.search_runs([experiment.experiment_id])
    assert {run.data.tags["selkd.trial"] for run in runs} == {f"student-{k}" for k in range(4)}
    assert len(runs) == 4


@pytest.mark.parametrize(("status", "shown"), [("finished", "FINISHED"), ("failed", "FAILED"), ("stopped", "KILLED")])
def test_every_end_of_a_trial_ends_its_run(trial, uri, status, shown):
    record = trial()
    record.finish(status, {}, "the reason")
    deliver(record.folder, uri, "tests")
    run = the_run(uri)
    assert run.info.status == shown
    assert run.data.tags["selkd.reason"] == "the reason"


def test_a_resumed_trial_goes_on_in_its_run(trial, uri):
    record = trial()
    record.log(1, {"a": 1.0})
    record.finish("stopped", {}, "interrupted")
    deliver(record.folder, uri, "tests")
    record.begin("student-1", "student", {"seed": 3, "workers": 2}, {}, {"git": None})
    deliver(record.folder, uri, "tests")
    assert the_run(uri).info.status == "RUNNING"
    record.log(2, {"a": 2.0})
    record.finish("finished", {"a": 2.0}, None)
    deliver(record.folder, uri, "tests")
    assert the_run(uri).info.status == "FINISHED"
    assert [(step, value) for _, step, _, value in points(uri)] == [(1, 1), (2, 2), (3, 2)]


def test_names_and_values_that_mlflow_refuses_arrive_and_stay_apart(trial, uri):
    record = trial()
    odd = ["a (b)", "a [b]", "a//b", "../a", "/a", "x" * 300, "x" * 301, "Größe", "T-shirt/top", "a & b", "."]
    record.log(1, dict.fromkeys(odd, 1.0))
    record.begin("student-1", "s", {"ignored": 1}, {"tag (1)": "y" * 9000}, {})
    deliver(record.folder, uri, "tests")
    run = the_run(uri)
    assert len(run.data.metrics) == len(odd)
    assert {"Größe", "T-shirt/top"} <= run.data.metrics.keys()
    assert "y" * 5000 in run.data.tags.values()


def test_large_configurations_and_many_metrics_arrive(tmp_path, uri):
    record = TrialRecord(tmp_path / "runs" / "large")
    record.begin("large", "large", {f"key{k}": k for k in range(250)} | {"long": "z" * 9000}, {}, {})
    record.log(1, {f"m{k}": float(k) for k in range(2500)})
    deliver(record.folder, uri, "tests")
    run = the_run(uri)
    assert len(run.data.params) == 251 and len(run.data.metrics) == 2500
    assert run.data.params["long"] == "z" * 5000


def test_a_run_that_a_person_deleted_is_made_anew(finished, uri):
    deliver(finished.folder, uri, "tests")
    MlflowClient(uri).delete_run(the_run(uri).info.run_id)
    TrialRecord(finished.folder).count_test_read()
    deliver(finished.folder, uri, "tests")
    run = the_run(uri)
    assert run.data.tags["selkd.test_reads"] == "2" and run.info.status == "FINISHED"


def test_a_trial_begun_afresh_does_not_mix_with_the_one_before(finished, trial, uri):
    deliver(finished.folder, uri, "tests")
    old = the_run(uri).info.run_id
    (finished.folder / "ledger.jsonl").unlink()
    again = trial()
    again.log(1, {"train/loss": 7.0})
    assert pending(again.folder) == len(again.ledger.events())
    deliver(again.folder, uri, "tests")
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("tests")
    assert experiment is not None
    [new] = [r for r in client.search_runs([experiment.experiment_id]) if r.info.run_id != old]
    assert [p.value for p in client.get_metric_history(new.info.run_id, "train/loss")] == [7.0]


def test_of_two_runs_made_when_an_answer_was_lost_one_stays(trial, uri):
    record = trial()
    deliver(record.folder, uri, "tests")
    client, run = MlflowClient(uri), the_run(uri)
    client.create_run(run.info.experiment_id, tags={"selkd.ledger": str(record.ledger.id)})
    forget(record.folder)
    deliver(record.folder, uri, "tests")
    assert the_run(uri).info.run_id == run.info.run_id
    assert len(client.search_runs([run.info.experiment_id], run_view_type=ViewType.ALL)) == 2


def test_a_file_that_changed_is_delivered_as_it_is_now(trial, uri):
    record = trial()
    path = record.folder / "probe.parquet"
    for content in (b"old", b"new"):
        path.write_bytes(content)
        record.artifact(path)
    deliver(record.folder, uri, "tests")
    run = the_run(uri)
    assert Path(MlflowClient(uri).download_artifacts(run.info.run_id, "probe.parquet")).read_bytes() == b"new"


def test_a_damaged_cursor_costs_nothing_but_time(finished, uri):
    deliver(finished.folder, uri, "tests")
    for content in ("{", "[]", '{"experiment": "tests"}', '{"a": 1}'):
        [cursor] = finished.folder.glob("delivered-*.json")
        cursor.write_text(content)
        deliver(finished.folder, uri, "tests")
        whole(uri, finished)


def test_an_experiment_deleted_in_mlflow_is_named_with_the_remedy(finished, trial, uri):
    deliver(finished.folder, uri, "tests")
    client = MlflowClient(uri)
    client.delete_experiment(the_run(uri).info.experiment_id)
    with pytest.raises(UserError, match=r"'tests' was deleted.*Restore"):
        deliver(trial("another").folder, uri, "tests")


def test_the_uri_is_the_users_or_a_database_in_the_workspace(tmp_path, monkeypatch):
    assert tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert tracking_uri(tmp_path) == "http://127.0.0.1:1"


def test_no_password_of_an_address_is_kept(trial, monkeypatch):
    record = trial()
    with pytest.raises(UserError) as caught:
        deliver(record.folder, "http://me:hidden@127.0.0.1:1", "tests")
    kept = "".join(path.read_text() for path in record.folder.rglob("*") if path.is_file())
    assert "hidden" not in str(caught.value) + kept
    assert Ledger(record.folder / "ledger.jsonl").events()
