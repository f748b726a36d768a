"""The search spaces that ship: each runs."""

from pathlib import Path
from typing import Any

import pytest

from selkd.config import Workspace
from selkd.pools import Pool, train_pool
from selkd.sweeps.ready import path_of, pool_of, ready
from selkd.sweeps.run import sweep
from selkd.sweeps.space import SearchSpace

pytestmark = pytest.mark.slow
TINY = (
    "budget.candidates=2",
    "budget.seeds=1",
    "comparison=null",
    "base.training={epochs: 4, batch_size: 16}",
    "defaults=false",
    "concurrent=1",  # the second student trains where the first one did: no other process has to start
)
TINY_TEACHER = ("teacher.training.epochs=1", "teacher.data.rows_per_category=20")
TINY_POOL = ("base.training.epochs=1", "base.data.rows_per_category=10", "base.training.batch_size=16")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which the first study teaches the teacher of all."""
    return Workspace(tmp_path_factory.mktemp("shared"))


@pytest.mark.parametrize("name", sorted(ready()))
def test_a_ready_space_runs(name: str, ray: Any, shared: Workspace) -> None:
    if "fashion" in name and not Path("/usr/share/datasets/fashion-mnist").exists():
        pytest.skip("needs Fashion-MNIST")
    space = SearchSpace.read(path_of(name))
    if space.teacher is None:
        train_pool(Pool.read(pool_of(f"{name.partition('-')[0]}-pool"), TINY_POOL), shared)
    study = sweep(SearchSpace.read(path_of(name), TINY + (TINY_TEACHER if space.teacher else ())), shared)
    assert study.status == "finished", study.state.stopped
    assert [candidate.reason for candidate in study.state.candidates.values()] == [None, None]
    assert {candidate.verdict for candidate in study.state.candidates.values()} <= {"complete", "pruned"}
