"""How many students fit at once, on one machine or on the nodes of a cluster."""

import json
import os
from collections.abc import Sequence

from selkd.config import RunConfig
from selkd.training.ray_entry import Resources, wants_gpu

ROUNDING = 1e-9
PROMISED = "SELKD_NODES"
"""Variable that says what nodes a cluster makes when they are asked for: [[how many, what each has], ...] in JSON."""


def all_nodes(alive: Sequence[Resources]) -> Sequence[Resources]:
    """The nodes that a cluster has, or may have where it grows: students that wait for room are what makes it grow."""
    promised = [node for count, node in json.loads(os.environ.get(PROMISED, "[]")) for _ in range(count)]
    return promised or alive


def needs(config: RunConfig, nodes: Sequence[Resources]) -> Resources:
    """What one worker of a student holds on these nodes, in Ray's words."""
    workers = config.workers
    return {"CPU": workers.cpus} | ({"GPU": workers.gpus} if wants_gpu(config, nodes) else {})


def slots(nodes: Sequence[Resources], need: Resources) -> int:
    """Workers that fit; each is whole on one node."""
    return sum(int(min(node.get(name, 0) / amount + ROUNDING for name, amount in need.items())) for node in nodes)


def at_once(config: RunConfig, nodes: Sequence[Resources], wanted: int | None) -> int:
    """Students that fit, each with all its workers; not more than are wanted."""
    most = slots(nodes, needs(config, nodes)) // config.workers.count
    return min(wanted or most, most)
