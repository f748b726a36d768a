import contextlib
import sqlite3
import subprocess
import sys
import threading
import time

import pandas as pd
import pytest

from selkd.comparison import reading
from selkd.comparison.records import read_records
from selkd.errors import UserError
from selkd.tracking import deliver, runs
from selkd.tracking.runs import Runs

READER = """
import sys
from pathlib import Path
from selkd.comparison.records import read_records
print("ready", flush=True)
while True:
    read_records(["s"], sys.argv[1], Path(sys.argv[2]), fresh=True)
"""


def forget_deleted_runs(store):
    """What `mlflow gc` does to a database."""
    with contextlib.closing(sqlite3.connect(store.folder / "mlflow.db")) as database, database:
        gone = "(select run_uuid from runs where lifecycle_stage = 'deleted')"
        for table in ("params", "tags", "metrics", "latest_metrics", "runs"):
            database.execute(f"delete from {table} where run_uuid in {gone}")


def test_a_warm_reading_fetches_nothing_but_the_study_and_tells_the_same(store, asked, no_slack, same):
    store.study("s")
    for seed in range(4):
        store.trial("s", seed=seed)
    cold = store.read("s")
    assert len(asked) == 5
    asked.clear()
    told = []
    warm = store.read("s", watch=lambda done, total: told.append((done, total)))
    assert asked == [cold.studies["s"].run_id] and told == [(5, 5)]
    same(warm, cold)


def test_whatever_happens_to_runs_a_warm_reading_tells_what_a_fresh_one_tells(store, asked, no_slack, same):
    """Among them a delivery that is late by an hour, an end, a resumption, a deletion and its undoing."""
    store.study("s", finished=False)
    first, going = store.trial("s", "first"), store.trial("s", "going", status=None)
    late = store.trial("s", "late", delivered=False)
    client = store.client
    run = {record.folder.name: store.run_of(record.folder.name) for record in (first, going)}

    def finish():
        going.finish("finished", {"test/accuracy": 0.3}, None)
        deliver(going.folder, store.uri, "s")

    def arrive():
        deliver(late.folder, store.uri, "s")
        client.set_terminated(store.run_of(late.folder.name), end_time=int(1000 * (time.time() - 3600)))

    def resume():
        first.begin(first.folder.name, "s", {}, {}, {})
        deliver(first.folder, store.uri, "s")

    def prune():
        first.finish("pruned", {}, "no longer worth it")
        deliver(first.folder, store.uri, "s")

    steps = {
        finish: 2,
        arrive: 3,
        resume: 2,
        prune: 2,
        lambda: client.delete_run(run[going.folder.name]): 1,
        lambda: client.restore_run(run[going.folder.name]): 2,
        lambda: client.delete_run(run[first.folder.name]): 2,
    }
    store.read("s")
    for step, comparable in steps.items():
        time.sleep(0.01)
        step()
        warm = store.read("s")
        fresh = store.without_cache().read("s")
        same(warm, fresh)
        assert len(warm.trials) == comparable, step
    asked.clear()
    time.sleep(0.01)
    store.read("s")
    assert len(asked) <= 3  # the study, that runs, and the deleted run


def test_runs_that_mlflow_forgot_for_good_are_forgotten(store):
    store.study("s")
    store.trial("s", status=None)
    store.trial("s", "other")
    store.read("s")
    client = store.client
    client.delete_run(store.run_of("s-kd-student-0"))
    forget_deleted_runs(store)
    assert store.read("s").excluded.empty


def damage(content, how):
    match how:
        case "cut":
            return content[: len(content) // 2]
        case "empty":
            return b""
        case "garbage":
            return b"not a table at all"
        case "flipped":
            return content[:200] + bytes([content[200] ^ 1]) + content[201:]
    raise AssertionError(how)


@pytest.mark.parametrize("how", ["cut", "empty", "garbage", "flipped"])
def test_a_damaged_cache_is_read_again_and_mended(store, asked, no_slack, caplog, how, same):
    store.study("s")
    store.trial("s")
    whole = store.read("s")
    [path] = store.cache.glob("*.runs")
    good = path.read_bytes()
    path.write_bytes(damage(good, how))
    asked.clear()
    same(store.read("s"), whole)
    assert len(asked) == 2 and "damaged" in caplog.text
    asked.clear()
    same(store.read("s"), whole)
    assert len(asked) == 1


def test_the_cache_of_another_database_is_not_taken_for_ones_own(store, asked, no_slack):
    """The same place, study and number: only its birth tells that a database was made anew."""
    store.study("s")
    store.trial("s")
    store.read("s")
    server = Runs(store.uri)
    experiment = server.experiment("s")
    for born, fetched in ((experiment.created, 1), (experiment.created + 1, 2)):
        asked.clear()
        reading.read_runs(server, experiment._replace(created=born), store.cache, False, lambda done, total: None)
        assert len(asked) == fetched


def test_a_sealed_cache_of_another_experiment_is_not_believed(store, asked, no_slack):
    for study, seed in (("s", 1), ("other", 2)):
        store.study(study)
        store.trial(study, seed=seed)
        store.read(study)
    one, two = sorted(store.cache.glob("*.runs"))
    one.write_bytes(two.read_bytes())
    assert store.read("s").trials["seed"].to_list() == [1]
    assert store.read("other").trials["seed"].to_list() == [2]


def test_fresh_trusts_nothing(store):
    store.study("s")
    store.trial("s", metrics={"test/accuracy": 0.5})
    store.read("s")
    run = store.run_of("s-kd-student-0")
    store.client.log_metric(run, "test/accuracy", 0.9, step=99)  # by nobody's rules: no delivery
    assert store.read("s", fresh=True).metrics["test/accuracy"].to_list() == [0.9]
    assert store.read("s").metrics["test/accuracy"].to_list() == [0.9]


def test_a_cache_that_is_no_folder_is_done_without_and_it_is_said(store, caplog):
    store.study("s")
    store.trial("s")
    store.cache.write_text("a file where a folder should be")
    assert len(store.read("s").trials) == 1
    assert "without a cache" in caplog.text and "Free space" in caplog.text


def test_a_full_disk_is_read_without_a_cache_and_nothing_is_left_on_it(store, caplog):
    store.study("s")
    store.trial("s")
    store.cache.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", store.cache], check=False)
    if mounted.returncode:
        pytest.skip("mounting a small disk takes rights that this process lacks")
    try:
        for _ in range(2):
            caplog.clear()
            assert len(store.read("s").trials) == 1
            assert "without a cache" in caplog.text and not list(store.cache.iterdir())
    finally:
        subprocess.run(["umount", store.cache], check=True)


@pytest.mark.slow
def test_killing_a_reader_leaves_a_cache_that_is_whole_or_none(store, same):
    store.study("s")
    store.trial("s")
    expected = store.without_cache().read("s")
    reader = subprocess.Popen([sys.executable, "-c", READER, store.uri, str(store.cache)], stdout=subprocess.PIPE)
    assert reader.stdout is not None and reader.stdout.readline() == b"ready\n"
    deadline = time.monotonic() + 120
    while not list(store.cache.glob(".*.runs.*")):  # it is writing
        assert time.monotonic() < deadline and reader.poll() is None
    reader.kill()
    reader.wait()
    reader.stdout.close()
    same(store.read("s"), expected)


@pytest.mark.slow
def test_a_server_that_two_writers_fill_is_read_like_one_that_rests(served, asked, same):
    """Every reading tells of whole trials alone; the last, warm one tells what a fresh one tells."""
    served.study("s")
    faults = []

    def write(objective):
        try:
            for seed in range(8):
                served.trial("s", objective, seed)
        except Exception as error:
            faults.append(error)

    writers = [threading.Thread(target=write, args=(objective,)) for objective in ("kd", "selkd")]
    for writer in writers:
        writer.start()
    counts = []
    while any(writer.is_alive() for writer in writers):
        found = served.read("s")
        counts.append(len(found.trials))
        assert found.metrics.get("test/accuracy", pd.Series(dtype=float)).notna().all()
        assert set(found.excluded["reason"]) <= {"still running"}
    for writer in writers:
        writer.join()
    assert not faults and counts == sorted(counts)
    found = served.read("s")
    assert len(found.trials) == 16
    same(found, served.without_cache().read("s"))
    [run] = found.trials.index[:1]
    assert found.trials.loc[run, "link"].startswith(f"{served.uri}/#/experiments/")
    ledger = found.artifact(run, "ledger.jsonl")
    assert ledger is not None and ledger.is_relative_to(served.cache) and not found.history(run).empty
    assert found.artifact(run, "missing.parquet") is None and found.artifact(run, "ledger.jsonl") == ledger


def test_readers_at_once_tell_the_same(store, same):
    store.study("s")
    for seed in range(3):
        store.trial("s", seed=seed)
    found = []
    threads = [threading.Thread(target=lambda: found.append(store.read("s"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in found[1:]:
        same(one, found[0])
    assert len(found) == 3
    same(store.read("s"), found[0])


def test_pages_join_without_gaps_and_runs_of_one_instant_are_all_read(store, monkeypatch):
    monkeypatch.setattr(runs, "PAGE", 2)
    client = store.client
    experiment = client.create_experiment("s")
    began = [1, 1, 1, 2, 3]
    made = [client.create_run(experiment, start_time=time).info.run_id for time in began]
    server = Runs(store.uri)
    pages = list(server.everything(server.experiment("s")))
    assert sorted(run.id for page in pages for run in page) == sorted(made)


def test_a_run_deleted_between_two_pages_hides_no_other(store, monkeypatch):
    monkeypatch.setattr(runs, "PAGE", 2)
    client = store.client
    experiment = client.create_experiment("s")
    made = [client.create_run(experiment, start_time=time).info.run_id for time in range(1, 6)]
    server = Runs(store.uri)
    seen = []
    for page in server.everything(server.experiment("s")):
        seen += [run.id for run in page]
        if len(seen) == 2:
            client.delete_run(made[0])
            client.delete_run(made[1])
    assert seen == made


# --- faults outside ---


def test_a_server_that_is_away_is_named_with_the_remedy_and_no_password(tmp_path):

    with pytest.raises(UserError, match=r"127\.0\.0\.1:1.*no answer.*Start it") as caught:
        read_records(["s"], "http://me:hidden@127.0.0.1:1", tmp_path)
    assert "hidden" not in str(caught.value)


def test_nothing_recorded_is_said_and_no_database_made(tmp_path):

    with pytest.raises(UserError, match="nothing is recorded yet"):
        read_records(["s"], f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "cache")
    assert not list(tmp_path.iterdir())


def test_a_damaged_database_is_a_users_error(tmp_path):

    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(UserError, match="cannot be read"):
        read_records(["s"], f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "cache")


def test_a_deleted_run_is_named_until_it_is_restored(store):
    store.study("s")
    store.trial("s")
    store.trial("s", "other")
    run = store.run_of("s-kd-student-0")
    assert store.read("s").excluded.empty
    store.client.delete_run(run)
    [(_, key, gone, reason)] = store.read("s").excluded.to_numpy().tolist()
    assert (key, gone, reason) == ("s-kd-student-0", run, "deleted in MLflow")
    store.client.restore_run(run)
    assert store.read("s").excluded.empty
