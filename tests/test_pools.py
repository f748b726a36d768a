"""Pools of teachers: what a file says, what is trained, what is left as it is, and the command."""

import json
from pathlib import Path
from typing import Any

import pytest

from selkd import pools
from selkd.cli import teachers as command
from selkd.config import Workspace
from selkd.errors import UserError
from selkd.models.teachers import TeacherRepository
from selkd.pools import Pool, train_pool
from selkd.sweeps.ready import POOLS, pool_of, ready
from selkd.tracking import TrialRecord

POOL: dict[str, Any] = {
    "name": "few",
    "base": {
        "data": {"source": "digits", "rows_per_category": 4},
        "student": {"model": "mlp", "hidden": [4]},
        "training": {"epochs": 2, "batch_size": 4},
        "workers": {"device": "cpu"},
    },
    "teachers": {
        "low": {"task.categories": ["one", "zero"]},
        "high": {"task.categories": ["eight", "nine"], "student.hidden": [3]},
    },
}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("SELKD_WORKSPACE", str(tmp_path / "workspace"))
    return Workspace.default()


def test_each_teacher_has_what_all_share_and_its_own(workspace: Workspace) -> None:
    cards = train_pool(POOL, workspace)
    assert {name: card.categories for name, card in cards.items()} == {
        "low": ("one", "zero"),
        "high": ("eight", "nine"),
    }
    assert {name: card.settings["hidden"] for name, card in cards.items()} == {"low": [4], "high": [3]}
    assert TeacherRepository(workspace.teachers).names() == ["high", "low"]


def test_the_same_pool_gives_the_same_teachers(workspace: Workspace, tmp_path: Path) -> None:
    again = train_pool(POOL, Workspace(tmp_path / "again"))
    assert [card.fingerprint for card in train_pool(POOL, workspace).values()] == [
        c.fingerprint for c in again.values()
    ]


def test_an_interrupted_pool_goes_on_and_trains_no_teacher_twice(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_pool(POOL, Workspace(workspace.root / "undisturbed"))
    asked: list[tuple[str, int, int]] = []
    epochs = 0

    def pull_the_plug(_: Any) -> None:
        nonlocal epochs
        epochs += 1
        if epochs == 3:  # the first epoch of the second teacher
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_pool(POOL, workspace, on_epoch=pull_the_plug)
    assert TeacherRepository(workspace.teachers).names() == ["low"]
    cards = train_pool(POOL, workspace, watch=lambda *told: asked.append(told))
    assert asked == [("high", 1, 2)]
    assert [card.fingerprint for card in cards.values()] == [card.fingerprint for card in whole.values()]
    half = TrialRecord(workspace.runs / Pool.model_validate(POOL).configs()["high"].key)
    assert list(half.history().index) == [1, 2]
    monkeypatch.setattr(pools, "train", None)
    assert train_pool(POOL, workspace) == cards


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teachers": {"low": {"task.categories": ["one"], "task.mode": "open"}}}, "low: an open student answers"),
        ({"teachers": {"low": {"task.mod": "closed"}}}, r"teachers: low: task\.mod: unknown key\. Did you mean 'mode'"),
        ({"teachers": {"lo/w": {}}}, "name"),
        ({"teachers": {}}, "teachers"),
        ({"base": {"traning": {}}}, "traning"),
    ],
)
def test_a_pool_that_cannot_be_trained_is_refused_at_once(
    change: dict[str, Any], message: str, workspace: Workspace
) -> None:
    with pytest.raises(UserError, match=message):
        train_pool(POOL | change, workspace)
    assert not workspace.root.exists()


def test_another_teacher_of_that_name_is_refused_before_any_training(workspace: Workspace) -> None:
    train_pool(POOL | {"teachers": {"low": {"task.categories": ["two", "three"]}}}, workspace)
    with pytest.raises(UserError, match="a different teacher 'low' exists"):
        train_pool(POOL, workspace)
    assert TeacherRepository(workspace.teachers).names() == ["low"]


@pytest.mark.parametrize(("name", "target"), [("digits", "3589"), ("fashion", "0246")])
def test_ready_pools_have_many_teachers_of_no_to_all_categories_of_the_target(name: str, target: str) -> None:
    assert set(ready(POOLS)) == {"digits-pool", "fashion-pool"}
    pool = Pool.read(pool_of(f"{name}-pool"))
    assert len(pool.teachers) >= 20
    known = {teacher: set(teacher.split("-")[1]) for teacher in pool.teachers}
    shared = [len(ids & set(target)) for ids in known.values()]
    assert {count: shared.count(count) >= 4 for count in range(5)} == dict.fromkeys(range(5), True)
    for teacher, config in pool.configs().items():
        categories = config.task.categories
        assert len(known[teacher]) == (10 if categories == "all" else len(categories))


def test_the_command_takes_a_file_and_overrides(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "few.yaml"
    file.write_text(json.dumps({key: value for key, value in POOL.items() if key != "name"}))
    command.train(str(file), ["base.training.epochs=1"], json=True)
    assert set(json.loads(capsys.readouterr().out)) == {"low", "high"}
    command.train(str(file), ["base.training.epochs=1"])
    assert "few: 2 teachers" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"digit-pool: neither a file nor a ready pool\. Did you mean 'digits-pool'"):
        command.train("digit-pool")
