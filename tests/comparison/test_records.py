import contextlib
import math
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from datetime import UTC, datetime

import pandas as pd
import pytest
from mlflow import MlflowClient

from selkd.comparison import reading
from selkd.errors import UserError
from selkd.tracking import deliver, runs
from selkd.tracking.names import allowed, originals
from selkd.tracking.runs import Runs

READER = """
import sys
from pathlib import Path
from selkd.comparison.records import read_records
print("ready", flush=True)
while True:
    read_records(["s"], sys.argv[1], Path(sys.argv[2]), fresh=True)
"""


@pytest.fixture
def asked(monkeypatch):
    """The runs that were fetched from MLflow, one by one."""
    fetched = []
    plain = runs._plain
    monkeypatch.setattr(runs, "_plain", lambda run: fetched.append(run.info.run_id) or plain(run))
    return fetched


@pytest.fixture
def no_slack(monkeypatch):
    """Clocks that agree, so that what arrived before the last reading is not asked for again."""
    monkeypatch.setattr(reading, "SLACK", 0.0)


def client_of(store):
    return MlflowClient(store.uri)


def runs_of(store, study="s"):
    client = client_of(store)
    experiment = client.get_experiment_by_name(study)
    assert experiment is not None
    return client.search_runs([experiment.experiment_id])


def run_of(store, key):
    [run] = [run for run in runs_of(store) if run.data.tags.get("selkd.trial") == key]
    return run.info.run_id


def same(one, other):
    """Two readings tell the same, in whichever order."""
    for name in ("trials", "config", "metrics", "provenance"):
        left, right = getattr(one, name).sort_index(), getattr(other, name).sort_index()
        pd.testing.assert_frame_equal(left, right, check_like=True)
    order = ["study", "run"]
    left, right = (r.excluded.sort_values(order).reset_index(drop=True) for r in (one, other))
    pd.testing.assert_frame_equal(left, right)
    assert one.studies == other.studies


def without_cache(store):
    """The same MLflow, of which nobody has read anything."""
    other = type(store)(store.folder, store.uri)
    other.cache = store.folder / uuid.uuid4().hex
    return other


def forget_deleted_runs(store):
    """What `mlflow gc` does to a database."""
    with contextlib.closing(sqlite3.connect(store.folder / "mlflow.db")) as database, database:
        gone = "(select run_uuid from runs where lifecycle_stage = 'deleted')"
        for table in ("params", "tags", "metrics", "latest_metrics", "runs"):
            database.execute(f"delete from {table} where run_uuid in {gone}")


def reasons(records):
    return dict(zip(records.excluded["key"], records.excluded["reason"], strict=True))


# --- what is read ---


def test_a_trial_is_told_with_types_as_its_record_has_them(store):
    store.study("s")
    record = store.trial(
        "s", "selkd", 3, role="twin", candidate=7, metrics={"test/accuracy": 0.5, "cost/parameters": 9}
    )
    found = store.read("s")
    [run] = found.trials.index
    trial = found.trials.loc[run]
    assert trial[["study", "key", "name", "candidate", "role", "status", "seed", "categories"]].to_list() == [
        "s", record.folder.name, "s", 7, "twin", "finished", 3, "three, five",
    ]  # fmt: skip
    began, ended = (datetime.fromtimestamp(record.ledger.events()[n]["time"] / 1000, UTC) for n in (1, -1))
    assert abs((trial["began"] - began).total_seconds()) < 0.002
    assert abs((trial["ended"] - ended).total_seconds()) < 0.002
    assert trial["link"] == f"{run} (`selkd ui`)"
    config = found.config.loc[run]
    assert config["task.categories"] == ("three", "five") and config["data.root"] is None
    assert not config["training.optimiser.nesterov"] and config["teacher"] == "wide"
    assert found.config["objective.temperature"].dtype == float and found.config["training.epochs"].dtype == int
    assert found.metrics.loc[run, ["test/accuracy", "cost/parameters"]].to_list() == [0.5, 9.0]
    assert found.provenance.loc[run, "git.commit"] == "0" * 40 and found.provenance.loc[run, "git.dirty"] == "false"
    assert all(frame.index.equals(found.trials.index) for frame in (found.config, found.metrics, found.provenance))
    assert not [name for name in found.metrics if name.startswith("record/")]
    assert found.excluded.empty


def test_a_key_that_a_run_lacks_is_not_the_same_as_null(store):
    store.trial("s", seed=0, config={"data": {"rows": None}})
    store.trial("s", seed=1, config={"data": {"rows": 20}})
    store.trial("s", seed=2, config={"data": {"rows": "many"}})
    store.trial("s", seed=3, config={})
    found = store.read("s")
    by_seed = dict(zip(found.trials["seed"], found.config["data.rows"], strict=True))
    assert by_seed[0] is None and by_seed[1] == 20 and by_seed[2] == "many" and math.isnan(by_seed[3])


def test_missing_nan_and_infinite_metrics_stay_what_they_are(store):
    store.trial("s", seed=0, metrics={"test/accuracy": math.nan, "test/nll": math.inf, "test/gap": -math.inf})
    store.trial("s", seed=1, metrics={"test/accuracy": 0.5})
    found = store.read("s")
    metrics = found.metrics.set_index(found.trials["seed"])
    assert math.isnan(metrics.loc[0, "test/accuracy"]) and math.isnan(metrics.loc[1, "test/nll"])
    assert metrics.loc[0, "test/nll"] == math.inf and metrics.loc[0, "test/gap"] == -math.inf
    same(found, store.read("s"))


def test_a_study_says_what_it_searches_by_what_and_what_it_compares(store):
    plan = {"by": "objective.name", "metric": "accuracy", "looks": [5, 10]}
    record = store.study("s", {**SPACE_OF_TWO, "comparison": plan})
    info = store.read("s").studies["s"]
    assert info.metrics == {"validation/accuracy": "maximise", "cost/parameters": "minimise"}
    assert info.searched == ("objective.name", "data.seed") and info.comparison == plan and info.status == "finished"
    record.change(SPACE_OF_TWO, ["comparison: ... -> absent"])
    deliver(record.folder, store.uri, "s")
    assert store.read("s").studies["s"].comparison is None


SPACE_OF_TWO = {
    "search": {"objective.name": {"choice": ["kd", "selkd"]}, "data.seed": {"grid": [0, 1]}},
    "metrics": {"validation/accuracy": "maximise", "cost/parameters": "minimise"},
}


def test_a_study_of_older_selkd_is_told_by_its_space_or_by_what_varies(store):
    store.study("s", SPACE_OF_TWO)
    for objective in ("kd", "selkd"):
        for seed in (0, 1):
            store.trial("s", objective, seed)
    client = client_of(store)
    [run] = [run.info.run_id for run in runs_of(store) if run.data.tags["selkd.kind"] == "study"]
    for name in ("metrics", "searched", "comparison"):
        client.delete_tag(run, f"selkd.{name}")
    info = store.read("s").studies["s"]
    assert info.searched == ("objective.name", "data.seed") and info.metrics["cost/parameters"] == "minimise"
    client.delete_run(run)
    info = store.read("s").studies["s"]
    assert (info.run_id, info.status, info.searched, info.metrics) == (None, "unknown", ("objective.name",), {})


def test_files_and_curves_of_a_run_are_at_hand(store):
    record = store.trial("s")
    found = store.read("s")
    [run] = found.trials.index
    ledger = found.artifact(run, "ledger.jsonl")
    assert ledger is not None and ledger.read_bytes() == (record.folder / "ledger.jsonl").read_bytes()
    assert found.artifact(run, "predictions-test.parquet") is None
    pd.testing.assert_frame_equal(found.history(run), record.history())


def test_several_studies_are_read_as_one_and_each_once(store):
    for study in ("s", "other"):
        store.study(study)
        store.trial(study)
    found = store.read("s", "other", "s")
    assert sorted(found.trials["study"]) == ["other", "s"] and set(found.studies) == {"s", "other"}


# --- what is left out ---


def test_every_run_that_cannot_be_compared_is_named_with_its_reason(store):
    store.study("s")
    store.trial("s", "whole")
    store.trial("s", "goes-on", status=None)
    store.trial("s", "fails", status="failed", reason="ValueError: no rows")
    store.trial("s", "is-stopped", status="stopped", reason="interrupted")
    store.trial("s", "is-pruned", status="pruned", reason="worse than the median")
    store.trial("s", "has-no-test", metrics={"validation/accuracy": 0.5})
    client = client_of(store)
    experiment = client.get_experiment_by_name("s")
    assert experiment is not None
    for tags in ({"selkd.trial": "s-bare", "selkd.kind": "trial"}, {}):
        run = client.create_run(experiment.experiment_id, tags=tags).info.run_id
        client.log_metric(run, "test/accuracy", 1.0)
        client.set_terminated(run)
    found = store.read("s")
    assert found.trials["key"].to_list() == ["s-whole-student-0"]
    shown = {str(key).removeprefix("s-").removesuffix("-student-0"): reason for key, reason in reasons(found).items()}
    assert {key: reason.split(";")[0] for key, reason in shown.items()} == {
        "goes-on": "still running",
        "fails": "failed: ValueError: no rows",
        "is-stopped": "stopped: interrupted",
        "is-pruned": "pruned: worse than the median",
        "has-no-test": "half-written: it finished, but its final metrics are missing",
        "bare": "half-written: it finished, but its configuration is missing",
        "None": "not a run of selkd",
    }
    assert len(found.trials) + len(found.excluded) + 1 == len(runs_of(store))


def test_of_two_runs_of_one_trial_the_one_that_ended_last_is_kept(store):
    record = store.trial("s", metrics={"test/accuracy": 0.1})
    (record.folder / "ledger.jsonl").unlink()  # trained afresh
    store.trial("s", metrics={"test/accuracy": 0.2})
    found = store.read("s")
    assert found.metrics["test/accuracy"].to_list() == [0.2]
    [reason] = found.excluded["reason"]
    assert reason == f"a duplicate: run {found.trials.index[0]} of the same trial ended later"


def test_a_run_of_another_version_is_read_as_far_as_it_goes(store):
    store.study("s")
    client = client_of(store)
    experiment = client.get_experiment_by_name("s")
    assert experiment is not None
    run = client.create_run(experiment.experiment_id, tags={"selkd.trial": "old"}).info.run_id
    client.log_param(run, "objective.name", "kd")
    client.log_metric(run, "test/accuracy", 0.5)
    client.set_terminated(run)
    found = store.read("s")
    trial = found.trials.loc[run]
    assert trial["role"] == "student" and pd.isna(trial["seed"]) and pd.isna(trial["candidate"])


def test_a_study_without_trials_is_read_too(store):
    store.study("s", finished=False)
    found = store.read("s")
    assert found.trials.empty and found.excluded.empty and found.studies["s"].status == "running"
    same(found, store.read("s"))


# --- names ---


ODD = [
    "<script>alert(1)</script>",
    'it\'s "quoted"',
    "قطة",
    "👍🏽",
    "tench, Tinca tinca",
    "a//b",
    "T-shirt/top",
    "x" * 300,
]


def test_categories_of_any_name_come_back_as_they_were(store):
    scores = {f"{part}/accuracy/{name}": place / 8 for part in ("validation", "test") for place, name in enumerate(ODD)}
    store.trial("s", metrics=scores, categories=", ".join(ODD), config={"task": {"categories": ODD}})
    for found in (store.read("s"), store.read("s")):
        [run] = found.trials.index
        assert {name: found.metrics.loc[run, name] for name in scores} == scores
        assert found.trials.loc[run, "categories"] == ", ".join(ODD)
        assert found.config.loc[run, "task.categories"] == tuple(ODD)


def test_names_that_nothing_explains_stay_apart():
    names = [f"test/accuracy/{name}" for name in ("a&b", "a%b")]
    taken = [allowed(name) for name in names]
    assert len(set(taken)) == 2 and originals(taken, ["c, d"]) == {}
    assert originals([*taken, "test/accuracy/plain"], ["c, a&b"]) == {taken[0]: names[0]}


def test_a_study_may_have_quotes_in_its_name(store):
    name = 'it\'s a "study" `of` mine; 100%'
    store.study(name)
    store.trial(name)
    for _ in range(2):
        assert store.read(name).trials["study"].to_list() == [name]


def test_an_unknown_study_is_refused_with_the_nearest_name(store):
    store.study("closed-sinkhorn")
    with pytest.raises(UserError, match=r"'closed-sinkhron'.*Did you mean 'closed-sinkhorn'\?"):
        store.read("closed-sinkhron")
    client = client_of(store)
    experiment = client.get_experiment_by_name("closed-sinkhorn")
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    with pytest.raises(UserError, match=r"was deleted.*Restore"):
        store.read("closed-sinkhorn")
    with pytest.raises(UserError, match="no study is named"):
        store.read()


# --- the cache ---


def test_a_warm_reading_fetches_nothing_but_the_study_and_tells_the_same(store, asked, no_slack):
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


def test_whatever_happens_to_runs_a_warm_reading_tells_what_a_fresh_one_tells(store, asked, no_slack):
    """Among them a delivery that is late by an hour, an end, a resumption, a deletion and its undoing."""
    store.study("s", finished=False)
    first, going = store.trial("s", "first"), store.trial("s", "going", status=None)
    late = store.trial("s", "late", delivered=False)
    client = client_of(store)
    run = {record.folder.name: run_of(store, record.folder.name) for record in (first, going)}

    def finish():
        going.finish("finished", {"test/accuracy": 0.3}, None)
        deliver(going.folder, store.uri, "s")

    def arrive():
        deliver(late.folder, store.uri, "s")
        client.set_terminated(run_of(store, late.folder.name), end_time=int(1000 * (time.time() - 3600)))

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
        fresh = without_cache(store).read("s")
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
    client = client_of(store)
    client.delete_run(run_of(store, "s-kd-student-0"))
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
def test_a_damaged_cache_is_read_again_and_mended(store, asked, no_slack, caplog, how):
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
    run = run_of(store, "s-kd-student-0")
    client_of(store).log_metric(run, "test/accuracy", 0.9, step=99)  # by nobody's rules: no delivery
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
def test_killing_a_reader_leaves_a_cache_that_is_whole_or_none(store):
    store.study("s")
    store.trial("s")
    expected = without_cache(store).read("s")
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
def test_a_server_that_two_writers_fill_is_read_like_one_that_rests(served, asked):
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
    same(found, without_cache(served).read("s"))
    [run] = found.trials.index[:1]
    assert found.trials.loc[run, "link"].startswith(f"{served.uri}/#/experiments/")
    ledger = found.artifact(run, "ledger.jsonl")
    assert ledger is not None and ledger.is_relative_to(served.cache) and not found.history(run).empty
    assert found.artifact(run, "missing.parquet") is None and found.artifact(run, "ledger.jsonl") == ledger


def test_readers_at_once_tell_the_same(store):
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
    client = client_of(store)
    experiment = client.create_experiment("s")
    began = [1, 1, 1, 2, 3]
    made = [client.create_run(experiment, start_time=time).info.run_id for time in began]
    server = Runs(store.uri)
    pages = list(server.everything(server.experiment("s")))
    assert sorted(run.id for page in pages for run in page) == sorted(made)


def test_a_run_deleted_between_two_pages_hides_no_other(store, monkeypatch):
    monkeypatch.setattr(runs, "PAGE", 2)
    client = client_of(store)
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
    from selkd.comparison.records import read_records

    with pytest.raises(UserError, match=r"127\.0\.0\.1:1.*no answer.*Start it") as caught:
        read_records(["s"], "http://me:hidden@127.0.0.1:1", tmp_path)
    assert "hidden" not in str(caught.value)


def test_nothing_recorded_is_said_and_no_database_made(tmp_path):
    from selkd.comparison.records import read_records

    with pytest.raises(UserError, match="nothing is recorded yet"):
        read_records(["s"], f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "cache")
    assert not list(tmp_path.iterdir())


def test_a_damaged_database_is_a_users_error(tmp_path):
    from selkd.comparison.records import read_records

    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(UserError, match="cannot be read"):
        read_records(["s"], f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "cache")
