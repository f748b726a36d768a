"""The search spaces that ship: each is what it says, can be looked at without training, and is in the wheel."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from selkd.config import Workspace
from selkd.pools import Pool
from selkd.selection.samples import SAMPLES
from selkd.sweeps import goals
from selkd.sweeps.proposals import Proposer
from selkd.sweeps.ready import POOLS, path_of, pool_of, ready
from selkd.sweeps.space import SearchSpace

ROOT = Path(__file__).parents[2]
PROMISED = {
    "closed-sinkhorn",
    "open-mass",
    "category-subsets",
    "category-policies",
    "sample-policies",
    "students-objectives",
    *(f"digits-{name}" for name in ("closed", "open", "weighting", "teacher-faults", "label-noise", "outliers")),
    *(f"fashion-{name}" for name in ("closed", "open", "imbalanced", "categories", "samples")),
    *("digits-cross-task", "fashion-cross-task", "fashion-teachers", "fashion-transport"),
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One workspace for all: its data are read once."""
    return Workspace(tmp_path_factory.mktemp("shared"))


def test_what_was_promised_is_there() -> None:
    assert set(ready()) >= PROMISED


@pytest.mark.parametrize("name", sorted(ready()))
def test_a_ready_space_can_be_looked_at_without_training(name: str, shared: Workspace) -> None:
    space = SearchSpace.read(path_of(name))
    assert space.name == name
    assert space.description
    proposer = Proposer.of(space, shared)
    drawn = [found for number in range(10) if (found := proposer.propose(number)) is not None]
    assert len(drawn) == min(10, proposer.size.total or 10)
    assert all(proposer.contains(parameters) for parameters in drawn)
    assert len({space.config(parameters, 0).key for parameters in drawn}) > 5


def test_ready_spaces_on_the_same_data_share_one_teacher() -> None:
    """So that it is taught once a workspace, whichever of them runs first."""
    teachers: dict[str, Any] = {}
    for path in ready().values():
        if (teacher := SearchSpace.read(path).teacher) is not None:
            assert teachers.setdefault(teacher["data"]["source"], teacher) == teacher
    assert set(teachers) == {"digits", "fashion-mnist"}


@pytest.mark.parametrize("name", ["digits", "fashion"])
def test_studies_of_other_tasks_take_every_teacher_of_the_ready_pool(name: str) -> None:
    space, pool = SearchSpace.read(path_of(f"{name}-cross-task")), Pool.read(pool_of(f"{name}-pool"))
    assert list(space.search["teacher"].values() or ()) == list(pool.teachers)
    assert space.teacher is None
    data = {config.data.source for config in pool.configs().values()}
    assert data == {space.base["data"]["source"]}
    assert space.budget.seeds >= 5
    counts = {
        objective: sum(found["objective.name"] == objective for found in space.candidates.every(lambda _: iter(())))
        for objective in ("cross-entropy", "shared-kd", "mapped", "transport")
    }
    with_teacher = 3 * len(pool.teachers)
    assert counts == {"cross-entropy": 3, "shared-kd": with_teacher, "mapped": with_teacher, "transport": with_teacher}


def test_policies_of_rows_are_compared_with_the_controls_at_equal_cost() -> None:
    space = SearchSpace.read(path_of("sample-policies"))
    policies = space.search["selection.samples.policy"].values() or ()
    assert {"all", "random"} < set(policies) <= set(SAMPLES)
    for policy in policies:
        settings = space.config(
            {"selection.samples.policy": policy, "selection.samples.keep": 0.5}, 0
        ).selection.samples
        assert (settings.policy, settings.keep, settings.equal) == (policy, 0.5, "epochs")


@pytest.mark.parametrize("name", ["category-subsets", "category-policies"])
def test_subsets_are_never_compared_by_raw_accuracy(name: str) -> None:
    metrics = SearchSpace.read(path_of(name)).metrics
    assert all(metric.startswith("gain/") or metric == goals.TARGET for metric in metrics)


def test_ready_spaces_are_in_the_wheel(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77")
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("platform", "search_spaces"):
        left_out = shutil.ignore_patterns("*.egg-info", "__pycache__")
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=left_out)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([*command, str(tmp_path), str(source)], check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    assert {f"selkd/search_spaces/{name}.yaml" for name in ready()} <= packed
    assert {f"selkd/search_spaces/pools/{name}.yaml" for name in ready(POOLS)} <= packed
