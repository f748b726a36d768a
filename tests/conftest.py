"""What all tests share: quick ones first, one thread, nobody's server or workspace."""

import os

import pytest

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_AUTH_MODE"] = "token"  # a process reads both once, when it first imports Ray
os.environ["RAY_AUTH_TOKEN"] = "0" * 64
for name in ("MLFLOW_TRACKING_URI", "SELKD_WORKSPACE", "RAY_ADDRESS"):
    os.environ.pop(name, None)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A fault that a quick test finds is told before the slow ones begin.

    With several processes, one begins with the end-to-end tests, of which each may take the whole machine, and keeps
    them; the others take the rest.
    """
    several = bool(getattr(config.option, "numprocesses", None)) or "PYTEST_XDIST_WORKER" in os.environ
    first = [item for item in items if several and "end_to_end" in item.path.parts]
    for item in first:
        item.add_marker(pytest.mark.xdist_group("end to end"))
    items.sort(key=lambda item: (item not in first, item.get_closest_marker("slow") is not None))


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Two busy threads on two cores are slower than one, and sums come in another order."""
    import torch

    torch.set_num_threads(1)
