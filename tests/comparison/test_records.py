import math
from datetime import UTC, datetime

import pandas as pd
import pytest
from mlflow import MlflowClient

from selkd.comparison.caveats import absent
from selkd.errors import UserError
from selkd.tracking import deliver
from selkd.tracking.names import allowed, originals


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


def test_missing_nan_and_infinite_metrics_stay_what_they_are(store, same):
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


def test_a_study_that_was_extended_says_so(store):
    record = store.study("s")
    assert not store.read("s").studies["s"].extended
    record.extend(0, [])
    deliver(record.folder, store.uri, "s")
    assert store.read("s").studies["s"].extended


def test_a_study_of_older_selkd_is_told_by_its_space_or_by_what_varies(store):
    store.study("s", SPACE_OF_TWO)
    for objective in ("kd", "selkd"):
        for seed in (0, 1):
            store.trial("s", objective, seed)
    client = store.client
    [run] = [run.info.run_id for run in store.runs("s") if run.data.tags["selkd.kind"] == "study"]
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


def test_mlflow_is_asked_once_where_the_files_of_a_run_lie(store, monkeypatch):
    store.trial("s")
    found, asked, plain = store.read("s"), [], MlflowClient.get_run
    monkeypatch.setattr(MlflowClient, "get_run", lambda self, run: asked.append(run) or plain(self, run))
    [run] = found.trials.index
    files = [found.artifact(run, path) for path in ("ledger.jsonl", "missing.parquet", "ledger.jsonl")]
    assert files[0] == files[2] is not None and files[1] is None
    assert asked == [run]


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
    client = store.client
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
    assert len(found.trials) + len(found.excluded) + 1 == len(store.runs("s"))


def test_finished_students_that_mlflow_was_not_told_of_are_counted(store):
    study = store.study("s", finished=False)
    trials = [store.trial("s", seed=seed, delivered=seed < 2) for seed in range(3)]
    for trial in trials:
        study.end_trial(trial.folder.name, "finished", trial.metrics, None, 1.0)
    study.stop(True, "every candidate was tried")
    deliver(study.folder, store.uri, "s")
    assert store.read("s").studies["s"].absent == 1
    assert any("1 finished student of s did not reach MLflow: `selkd sync`" in said for said in absent(store.read("s")))
    deliver(trials[2].folder, store.uri, "s")
    assert store.read("s").studies["s"].absent == 0
    store.client.delete_run(store.run_of(trials[0].folder.name))
    assert store.read("s").studies["s"].absent == 0, "a person deleted it"


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
    client = store.client
    experiment = client.get_experiment_by_name("s")
    assert experiment is not None
    run = client.create_run(experiment.experiment_id, tags={"selkd.trial": "old"}).info.run_id
    client.log_param(run, "objective.name", "kd")
    client.log_metric(run, "test/accuracy", 0.5)
    client.set_terminated(run)
    found = store.read("s")
    trial = found.trials.loc[run]
    assert trial["role"] == "student" and pd.isna(trial["seed"]) and pd.isna(trial["candidate"])


def test_a_study_without_trials_is_read_too(store, same):
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
    client = store.client
    experiment = client.get_experiment_by_name("closed-sinkhorn")
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    with pytest.raises(UserError, match=r"was deleted.*Restore"):
        store.read("closed-sinkhorn")
    with pytest.raises(UserError, match="no study is named"):
        store.read()
