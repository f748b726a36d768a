"""What a user's data do to a run: kept arrays train and are found again; what cannot train is refused plainly."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import selkd
from selkd.config import RunConfig, Workspace
from selkd.data import from_arrays
from selkd.errors import UserError
from selkd.training.ray_entry import started
from selkd.training.run import fit
from selkd.training.workers import Workers

Tree = Callable[[Mapping[str, int]], Path]
IMAGES = np.random.default_rng(0).random((60, 8, 8))
LABELS = np.arange(60) % 3
CATEGORIES = ("a", "b", "c")
BASE: dict[str, Any] = {
    "student": {"model": "cnn", "width": 4},
    "training": {"epochs": 1, "batch_size": 8, "keep": "last"},
    "workers": {"device": "cpu"},
}


def config(source: str, **changed: Any) -> RunConfig:
    return RunConfig.model_validate({**BASE, "data": {"source": source, "image_size": 8}, **changed})


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def train_on(source: str, workspace: Workspace, **changed: Any) -> None:
    fit(config(source, **changed), workspace, Workers(), lambda _: None, keep=False)


@pytest.fixture
def mine(workspace: Workspace) -> str:
    """Random images of three categories, kept under a name."""
    from_arrays((IMAGES, LABELS), categories=CATEGORIES, root=workspace.data, name="mine")
    return "arrays:mine"


@pytest.mark.slow
def test_a_student_of_kept_arrays_is_evaluated_later(mine: str, workspace: Workspace) -> None:
    trained = selkd.train(config(mine), workspace)
    again = selkd.evaluate(trained.key, workspace=workspace)
    assert again.metrics["nll"] == pytest.approx(trained.metrics["validation/nll"], rel=1e-6)


@pytest.fixture
def ray() -> Iterator[None]:
    """A local cluster."""
    with started(2):
        yield


@pytest.mark.slow
def test_several_workers_find_kept_arrays_by_name(ray: None, mine: str, workspace: Workspace) -> None:
    trained = selkd.train(config(mine, workers={"count": 2, "device": "cpu"}), workspace)
    assert trained.metrics["validation/nll"] > 0


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"batch_size": 43}, r"training.batch_size: 43 is more than the task's 42 training rows. Lower it."),
        ({"batch_size": 10**9}, r"is more than the task's 42 training rows"),
    ],
)
def test_a_batch_larger_than_the_data_is_refused(
    mine: str, workspace: Workspace, training: dict[str, int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        train_on(mine, workspace, training={**BASE["training"], **training})


def test_the_smallest_and_the_largest_batch_train(mine: str, workspace: Workspace) -> None:
    for size in (1, 42):
        train_on(mine, workspace, training={**BASE["training"], "batch_size": size})


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        ({"cat": 8, "bee": 1}, "category 'bee' has 1 rows, which leaves none for test. Add rows or drop"),
        ({"train/cat": 8, "train/bee": 8, "test/cat": 3}, "category 'bee' has a folder in only one of"),
        ({"train/cat": 8, "train/bee": 8, "test/cat": 3, "test/bee": 0}, "category 'bee' has no images"),
        ({"train/cat": 8, "train/bee": 1, "test/cat": 3, "test/bee": 1}, "which leaves none for validation"),
    ],
)
def test_a_category_that_a_split_would_lack_is_named(
    tree: Tree, workspace: Workspace, folders: Mapping[str, int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        train_on(f"imagefolder:{tree(folders)}", workspace)


def test_images_that_are_not_square_are_refused_unless_scaled(tree: Tree, workspace: Workspace) -> None:
    source = f"imagefolder:{tree({'cat': 12, 'bee': 12})}"
    with pytest.raises(UserError, match=r"images of images are 6 x 5 .*Set data.image_size"):
        train_on(source, workspace, data={"source": source})
    train_on(source, workspace)


def test_streamed_images_give_the_student_of_mapped_ones(tree: Tree, workspace: Workspace) -> None:
    source = f"imagefolder:{tree({'cat': 20, 'bee': 20})}"
    students = [
        fit(
            config(
                source, data={"source": source, "image_size": 8, "memory_budget": budget, "augment": {"mixup": 0.5}}
            ),
            workspace,
            Workers(),
            lambda _: None,
            keep=False,
        )[1].state_dict()
        for budget in (1, 2**30)
    ]
    for name, value in students[0].items():
        assert value.equal(students[1][name]), name


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("digit", "source: 'digit' is unknown. Did you mean 'digits'"),
        ("imagefoldr:x", "Did you mean 'imagefolder:PATH'"),
        ("imagefolder:nowhere", r"/nowhere: no such folder. Give imagefolder:PATH an existing one"),
        ("arrays:mnie", r"no arrays 'mnie' in .*Did you mean 'mine'"),
    ],
)
def test_unknown_sources_are_answered_with_the_nearest(
    mine: str, workspace: Workspace, source: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        train_on(source, workspace)


def test_more_rows_than_there_are_is_said_and_trains(
    mine: str, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    train_on(mine, workspace, data={"source": mine, "rows_per_category": 15})
    assert [line for line in caplog.messages if "a: 14 rows, b: 14 rows, c: 14 rows" in line]
