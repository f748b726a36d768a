"""Teachers that a study's students would miss are named before any student is begun, with what makes them."""

from pathlib import Path
from typing import Any

import pytest
import torch

from selkd import models
from selkd.config import Workspace
from selkd.errors import UserError
from selkd.models.classifier import Classifier
from selkd.models.teachers import TeacherRepository
from selkd.pools import Pool
from selkd.sweeps.needed import refuse_missing
from selkd.sweeps.preview import preview
from selkd.sweeps.ready import path_of, pool_of
from selkd.sweeps.run import sweep
from selkd.sweeps.space import SearchSpace

CROSS: dict[str, Any] = {"teacher": "first", "objective": "transport"}
EPSILON: dict[str, Any] = {"objective.epsilon": {"log": [0.01, 1]}}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def add(workspace: Workspace, *names: str) -> None:
    """Teachers of two digits with random weights."""
    for name in names:
        torch.manual_seed(0)
        network = models.build("mlp", channels=1, outputs=2, image_size=8, hidden=[2])
        TeacherRepository(workspace.teachers).save(
            name, Classifier(network, [0.3], [0.3]), categories=("one", "two"), architecture="mlp",
            settings={"hidden": [2]}, channels=1, image_size=8, data={"name": "digits", "fingerprint": ""},
            accuracy={}, validation_accuracy=0.5,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("base", "search", "missing"),
    [
        (CROSS, EPSILON, ["first"]),
        (CROSS, {"teacher": {"choice": ["second", "third"]}}, ["second", "third"]),
        (CROSS, {"semantics": {"choice": ["names", {"source": "prototypes", "encoder": "eye"}]}}, ["eye", "first"]),
        ({"teacher": "plain"}, {"student.width": {"choice": [4, 8]}}, ["plain"]),
        (
            {"objective": "transport", "selection": {"teachers": {"policy": "leep", "among": ["one", "two"]}}},
            EPSILON,
            ["one", "two"],
        ),
        (
            {"objective": "transport", "selection": {"teachers": "accuracy"}},
            {"selection.teachers": {"choice": ["random", {"policy": "named", "weights": {"one": 1, "two": 2}}]}},
            ["one", "two"],
        ),
    ],
)
def test_every_teacher_that_a_candidate_names_must_be_there(
    space: Any, workspace: Workspace, base: dict[str, Any], search: dict[str, Any], missing: list[str]
) -> None:
    asked = space(base=base, search=search)
    add(workspace, *(name for name in ("here", "first") if name not in missing))
    with pytest.raises(UserError, match=rf"small: {len(missing)} of \d teachers.*: {', '.join(missing)}\. Make them"):
        refuse_missing(asked, workspace)
    add(workspace, *missing)
    refuse_missing(asked, workspace)


def test_a_teacher_that_no_candidate_learns_from_need_not_be_there(space: Any, workspace: Workspace) -> None:
    """Semantics and teacher policies act where an objective learns from teachers of other categories."""
    base = {"semantics": {"source": "prototypes", "encoder": "eye"}, "objective": "cross-entropy"}
    refuse_missing(space(base=base, search={"student.width": {"choice": [4, 8]}}), workspace)


def test_the_teacher_that_the_space_teaches_is_not_missing(space: Any, workspace: Workspace) -> None:
    refuse_missing(space(teacher={"name": "big"}), workspace)


@pytest.mark.parametrize("name", ["digits", "fashion"])
def test_a_missing_ready_pool_is_named_with_the_command_that_trains_it(name: str, workspace: Workspace) -> None:
    space, pool = SearchSpace.read(path_of(f"{name}-cross-task")), list(Pool.read(pool_of(f"{name}-pool")).teachers)
    told = rf"28 of 28 teachers.* and 20 more\. Make them with `selkd teachers train {name}-pool`\."
    with pytest.raises(UserError, match=told):
        refuse_missing(space, workspace)
    add(workspace, *pool[1:])
    with pytest.raises(UserError, match=rf"1 of 28 teachers.*: {pool[0]}\. Make them with `selkd teachers train"):
        refuse_missing(space, workspace)


def test_a_policy_needs_a_teacher_to_choose(space: Any, workspace: Workspace) -> None:
    asked = space(base={"objective": "transport", "selection": {"teachers": "accuracy"}}, search=EPSILON)
    with pytest.raises(UserError, match=r"chooses among the teachers of .*, which holds none\. Make them"):
        refuse_missing(asked, workspace)
    add(workspace, "any")
    refuse_missing(asked, workspace)


def test_a_teacher_that_cannot_be_read_is_told_of(space: Any, workspace: Workspace) -> None:
    add(workspace, "first")
    (workspace.teachers / "first" / "card.json").write_text("{")
    with pytest.raises(UserError, match=r"first.card\.json"):
        refuse_missing(space(base=CROSS, search=EPSILON), workspace)


def test_a_sweep_and_its_preview_refuse_before_anything_is_begun(space: Any, workspace: Workspace) -> None:
    asked = space(base=CROSS, search=EPSILON)
    for begin in (sweep, preview):
        with pytest.raises(UserError, match=r"1 of 1 teachers of its students are not in .*: first\."):
            begin(asked, workspace)
    assert not workspace.runs.exists()
    assert not (workspace.studies / "small" / "ledger.jsonl").exists()
