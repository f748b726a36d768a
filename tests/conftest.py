"""What all tests share: quick ones first, one thread, nobody's server or workspace."""

import os
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_AUTH_MODE"] = "token"  # a process reads both once, when it first imports Ray
os.environ["RAY_AUTH_TOKEN"] = "0" * 64
for name in ("MLFLOW_TRACKING_URI", "SELKD_WORKSPACE", "SELKD_STORE", "RAY_ADDRESS"):
    os.environ.pop(name, None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A fault that a quick test finds is told before the slow ones begin."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """End-to-end tests, of which each may take the whole machine, run one after the other beside all others."""
    from xdist.scheduler import LoadScopeScheduling

    class EndToEndTogether(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "end to end" if nodeid.startswith("tests/end_to_end/") else nodeid

    return EndToEndTogether(config, log)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Two busy threads on two cores are slower than one, and sums come in another order."""
    import torch

    torch.set_num_threads(1)
