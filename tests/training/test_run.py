"""What a run refuses (changed teachers, parameters that are not finite, forgetting too early), and what it records."""

import shutil
from typing import Any

import numpy as np
import pandas as pd
import pytest

from selkd.config import RunConfig, Workspace
from selkd.errors import UserError
from selkd.tracking import TrialRecord
from selkd.training.loop import Epoch
from selkd.training.run import train


def config(**changes: Any) -> RunConfig:
    plain: dict[str, Any] = {
        "data": {"rows_per_category": 8},
        "task": {"categories": ["three", "five"]},
        "student": {"model": "mlp", "hidden": [4]},
        "training": {"epochs": 1, "batch_size": 8},
        "workers": {"device": "cpu"},
    }
    return RunConfig.model_validate(plain | changes)


def test_parameters_that_the_last_update_broke_are_not_kept(workspace: Workspace) -> None:
    broken = config(training={"steps": 1, "batch_size": 8, "optimiser": {"lr": 1e30, "weight_decay": 1e30}})
    with pytest.raises(UserError, match="a parameter became nan"):
        train(broken, workspace)
    assert TrialRecord(workspace.runs / broken.key).status == "failed"
    assert not (workspace.runs / broken.key / "checkpoints" / "index.json").exists()


def test_a_finished_student_outlives_a_fresh_start_that_cannot_begin(workspace: Workspace) -> None:
    taught = config(teacher="untrained", objective={"name": "kd"})
    trained = train(taught, workspace)
    (workspace.teachers).unlink()
    with pytest.raises(UserError, match="no teacher"):
        train(taught, workspace, fresh=True)
    assert (trained.student / "weights.safetensors").exists()


def test_a_teacher_that_changed_is_refused(workspace: Workspace) -> None:
    taught = config(teacher="untrained", objective={"name": "kd"})
    train(taught, workspace)
    original = workspace.teachers.resolve()
    workspace.teachers.unlink()
    shutil.copytree(original, workspace.teachers)
    card = workspace.teachers / "untrained" / "card.json"
    card.write_text(card.read_text().replace('"std": [\n    ', '"std": [\n    1'))
    with pytest.raises(UserError, match="its teacher changed since it began"):
        train(taught, workspace)


@pytest.mark.parametrize("mode", ["closed", "open"])
def test_the_teachers_answers_lie_beside_the_students(mode: str, workspace: Workspace) -> None:
    taught = config(teacher="untrained", objective={"name": "kd"}, task={"categories": ["three", "five"], "mode": mode})
    trained = train(taught, workspace)
    for part in ("validation", "test"):
        answers = pd.read_parquet(trained.folder / f"predictions-{part}.parquet")
        right = np.mean(answers["teacher"].to_numpy() == answers["label"].to_numpy())
        assert right == pytest.approx(trained.metrics[f"teacher/{part}/accuracy"])


def test_without_a_teacher_there_are_no_answers_of_one(workspace: Workspace) -> None:
    trained = train(config(), workspace)
    assert "teacher" not in pd.read_parquet(trained.folder / "predictions-test.parquet")


SELDOM = {"steps": 13, "batch_size": 8, "keep": "last", "validate_every": 3}  # two batches an epoch


def test_looking_seldom_at_validation_rows_changes_no_student(workspace: Workspace) -> None:
    """Not the weights, and not what a policy that learns after every epoch chooses."""
    policy = {"samples": {"policy": "el2n", "rounds": 2, "keep": 0.9}}
    seldom = config(training=SELDOM, selection=policy)
    each = config(training=SELDOM | {"validate_every": 1}, selection=policy)
    assert each.key != seldom.key
    often, rare = train(each, workspace), train(seldom, workspace)
    assert list(often.history.index) == [1, 2, 3, 4, 5, 6, 7]
    assert list(rare.history.index) == [3, 6, 7]
    weights = [(one.student / "weights.safetensors").read_bytes() for one in (often, rare)]
    assert weights[0] == weights[1]
    columns = [name for name in rare.history if not name.endswith("per_second")]
    assert rare.history[columns].equals(often.history.loc[rare.history.index, columns])


def test_a_student_that_looks_seldom_goes_on_from_its_last_look(workspace: Workspace) -> None:
    whole = train(config(name="whole", training=SELDOM), workspace)
    stopped = config(name="stopped", training=SELDOM)
    seen: list[int] = []

    def stop(epoch: Epoch) -> None:
        seen.append(epoch.epoch)
        if seen == [3]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(stopped, workspace, on_epoch=stop)
    again = train(stopped, workspace, on_epoch=stop)
    assert seen == [3, 6, 7]
    files = [(one.student / "weights.safetensors").read_bytes() for one in (whole, again)]
    assert files[0] == files[1]
