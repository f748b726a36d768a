"""A student in a Tune actor, without Ray's processes: milestones, ends, and what each end is called."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selkd.config import RunConfig, Workspace
from selkd.files import holding
from selkd.sweeps import trainable
from selkd.sweeps.trainable import _Training
from selkd.tracking import TrialRecord
from selkd.training.checkpoints import Checkpoints
from selkd.training.ending import StoppedEarly, ask_to_end

Begin = Callable[..., _Training]


def config(**training: Any) -> RunConfig:
    return RunConfig.of({
        "task": {"categories": ["three", "five"]}, "student": {"model": "mlp"}, "workers": {"device": "cpu"},
        "training": {"epochs": 4, "batch_size": 64, **training},
    })  # fmt: skip


@pytest.fixture
def begin(tmp_path: Path) -> Begin:
    def start(chosen: RunConfig | None = None, **order: Any) -> _Training:
        chosen = chosen or config()
        content = {
            "config": chosen.model_dump_json(), "workspace": str(tmp_path), "tags": {}, "figures": False,
            "milestones": [], "metric": "validation/accuracy", "target": [], "stop": str(tmp_path / "stop"),
        }  # fmt: skip
        return _Training(content | order)

    return start


def record(tmp_path: Path, chosen: RunConfig | None = None) -> TrialRecord:
    return TrialRecord(Workspace(tmp_path).runs / (chosen or config()).key)


def test_a_student_without_milestones_is_trained_in_one_step(begin: Begin, tmp_path: Path) -> None:
    assert begin().next() == {"outcome": "finished", "reason": None, "done": True}
    assert record(tmp_path).status == "finished"
    assert not (record(tmp_path).folder / "figures").exists()


@pytest.mark.parametrize(("metric", "target"), [("validation/accuracy", []), ("target/accuracy", ["three"])])
def test_it_reports_at_its_milestones_and_waits_there(begin: Begin, tmp_path: Path, metric: str, target: list[str]):
    training = begin(milestones=[0.3, 0.6], metric=metric, target=target)
    first = training.next()
    assert (first["share"], first["done"]) == (0.3, False)
    assert 0 <= first["value"] <= 1
    assert record(tmp_path).progress == (2, 4), "the first epoch with at least 30 % behind it is the second of four"
    assert training.next()["share"] == 0.6
    assert training.next()["outcome"] == "finished"


def test_a_student_asked_to_end_does_so_and_its_record_says_why(begin: Begin, tmp_path: Path) -> None:
    training = begin(milestones=[0.3])
    training.next()
    ask_to_end(record(tmp_path).folder, StoppedEarly("3. of 4"))
    assert training.next() == {"outcome": "pruned", "reason": "3. of 4", "done": True}
    assert record(tmp_path).status == "pruned"


def test_a_stopped_study_pauses_its_students_and_they_go_on(begin: Begin, tmp_path: Path) -> None:
    (tmp_path / "stop").touch()
    assert begin().next()["outcome"] == "stopped"
    assert record(tmp_path).progress == (1, 4)
    (tmp_path / "stop").unlink()
    assert begin().next()["outcome"] == "finished"
    trained = [event["step"] for event in record(tmp_path).ledger.events() if event["event"] == "log"]
    assert trained == [1, 2, 3, 4], "no epoch is trained twice"


def test_an_epoch_that_takes_long_is_left_in_the_middle_and_gone_on_with(
    begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainable, "PACE", 0)
    (tmp_path / "stop").touch()
    chosen = config(batch_size=16)
    assert begin(chosen).next()["outcome"] == "stopped"
    (tmp_path / "stop").unlink()
    left = record(tmp_path, chosen)
    assert left.progress == (0, 0)
    assert Checkpoints(left.folder / "checkpoints").reached == 1
    assert begin(chosen).next()["outcome"] == "finished"
    trained = [event["step"] for event in record(tmp_path, chosen).ledger.events() if event["event"] == "log"]
    assert trained == [1, 2, 3, 4]


def test_a_milestone_that_nobody_heard_of_is_told_later_with_its_own_value(begin: Begin, tmp_path: Path) -> None:
    before = begin(milestones=[0.5])
    unheard = before.next()
    before.end()
    assert begin(milestones=[0.5]).next() == unheard
    assert record(tmp_path).progress == (3, 4)


def test_a_fault_of_the_students_own_is_its_outcome(begin: Begin) -> None:
    result = begin(config(batch_size=100_000)).next()
    assert result["outcome"] == "failed"
    assert "training.batch_size" in result["reason"]


def test_a_trial_that_another_process_holds_counts_as_lost(begin: Begin, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(trainable, "PATIENCE", 0.1)
    with holding(record(tmp_path).folder / ".lock", 0, "busy"), pytest.raises(Exception, match="another process"):
        begin().next()


def test_a_training_that_never_began_leaves_nothing(begin: Begin, tmp_path: Path) -> None:
    begin().end()
    assert record(tmp_path).status is None


def test_leaving_a_training_pauses_it(begin: Begin, tmp_path: Path) -> None:
    training = begin(milestones=[0.3])
    training.next()
    training.end()
    assert record(tmp_path).status == "stopped"
