"""What all tests share: quick ones first, one thread, nobody's server or workspace."""

import os
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

END_TO_END = "tests/end_to_end/"

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_AUTH_MODE"] = "token"  # a process reads both once, when it first imports Ray
os.environ["RAY_AUTH_TOKEN"] = "0" * 64
for name in ("MLFLOW_TRACKING_URI", "SELKD_WORKSPACE", "SELKD_STORE", "RAY_ADDRESS"):
    os.environ.pop(name, None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A fault that a quick test finds is told before the slow ones begin, of which the longest come first."""
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    if item.get_closest_marker("slow") is None:
        return 0
    return 1 if item.nodeid.startswith(END_TO_END) else 2


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file's quick tests, and later its slow ones, go to one process, which makes their fixtures once."""
    from xdist.scheduler import LoadScopeScheduling

    class InOrderByFile(LoadScopeScheduling):
        def schedule(self) -> None:
            tests = next(iter(self.registered_collections.values()))
            runs = groupby(tests, lambda test: test.partition("::")[0])
            self.scopes = {test: f"{file} {number}" for number, (file, run) in enumerate(runs) for test in run}
            super().schedule()

        def _split_scope(self, nodeid: str) -> str:
            return self.scopes[nodeid]

    config.option.loadscopereorder = False  # else the files of most tests would come first
    return InOrderByFile(config, log)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Two busy threads on two cores are slower than one, and sums come in another order."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database with tables and no rows: making it takes seconds, copying it does not."""
    from selkd.tracking.server import connect

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    connect(f"sqlite:///{path}")
    return path
