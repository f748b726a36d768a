"""How many students fit at once, on one machine or on the nodes of a cluster."""

from collections.abc import Mapping, Sequence

from selkd.config import RunConfig
from selkd.training.setup import device_of

Resources = Mapping[str, float]
ROUNDING = 1e-9


def needs(config: RunConfig) -> Resources:
    """What one worker of a student holds, in Ray's words."""
    workers = config.workers
    return {"CPU": workers.cpus} | ({"GPU": workers.gpus} if device_of(config).type == "cuda" else {})


def slots(nodes: Sequence[Resources], need: Resources) -> int:
    """Workers that fit; each is whole on one node."""
    return sum(int(min(node.get(name, 0) / amount + ROUNDING for name, amount in need.items())) for node in nodes)


def at_once(config: RunConfig, nodes: Sequence[Resources], wanted: int | None) -> int:
    """Students that fit, each with all its workers; not more than are wanted."""
    most = slots(nodes, needs(config)) // config.workers.count
    return min(wanted or most, most)
