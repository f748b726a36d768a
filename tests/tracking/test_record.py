import math

import pytest
import yaml

from selkd.files import checksum
from selkd.tracking import TrialRecord


def test_a_trial_that_never_began_has_no_status_and_leaves_no_file(tmp_path):
    record = TrialRecord(tmp_path / "none")
    assert record.status is None
    assert record.metrics == {}
    assert record.test_reads == 0
    assert record.history().empty
    assert not (tmp_path / "none").exists()


def test_the_status_follows_begin_and_finish(trial):
    record = trial()
    assert record.status == "running"
    record.finish("stopped", {}, "interrupted")
    assert TrialRecord(record.folder).status == "stopped"
    trial()
    assert TrialRecord(record.folder).status == "running"
    record.finish("failed", {}, "ValueError: no")
    assert TrialRecord(record.folder).status == "failed"


def test_the_resolved_configuration_stands_beside_the_ledger(trial):
    record = trial()
    assert yaml.safe_load((record.folder / "config.yaml").read_text()) == record.config
    assert record.config["task"]["categories"] == ["three", "five"]


def test_a_resumed_run_doubles_no_point(trial):
    record = trial()
    for step in (1, 2, 3):
        record.log(step, {"train/loss": float(step)})
    again = trial()
    for step in (2, 3, 4):
        again.log(step, {"train/loss": -1.0, "new": 1.0})
    history = TrialRecord(record.folder).history()
    assert history["train/loss"].tolist() == [1, 2, 3, -1]
    assert history["new"].tolist()[1:] == [1, 1, 1] and math.isnan(history["new"].iloc[0])
    logged = [(e["step"], name) for e in again.ledger.events() if e["event"] == "log" for name in e["metrics"]]
    assert len(logged) == len(set(logged))


def test_values_that_are_not_finite_are_kept(trial):
    record = trial()
    record.log(1, {"a": math.nan, "b": math.inf, "c": -math.inf})
    record.finish("finished", {"a": math.nan, "b": math.inf}, None)
    row = TrialRecord(record.folder).history().loc[1]
    assert math.isnan(row["a"]) and row["b"] == math.inf and row["c"] == -math.inf
    metrics = TrialRecord(record.folder).metrics
    assert math.isnan(metrics["a"]) and metrics["b"] == math.inf


def test_history_is_in_the_order_of_steps(trial):
    record = trial()
    for step in (3, 1, 2):
        record.log(step, {"a": float(step)})
    assert record.history().index.tolist() == [1, 2, 3]
    assert record.history().index.name == "step"


def test_every_reading_of_the_test_split_is_counted(trial):
    record = trial()
    assert record.test_reads == 0
    record.count_test_read()
    TrialRecord(record.folder).count_test_read()
    assert record.test_reads == 2


def test_a_file_is_recorded_with_its_checksum_and_again_only_when_it_changed(trial):
    record = trial()
    path = record.folder / "probe.parquet"
    for content in (b"one", b"one", b"two"):
        path.write_bytes(content)
        record.artifact(path)
    found = [e for e in record.ledger.events() if e["event"] == "artifact" and e["path"] == "probe.parquet"]
    assert len(found) == 2
    assert found[-1]["sha256"] == checksum(path)


def test_a_file_outside_the_trial_is_refused(trial, tmp_path):
    (tmp_path / "elsewhere").write_text("")
    with pytest.raises(ValueError, match="elsewhere"):
        trial().artifact(tmp_path / "elsewhere")
