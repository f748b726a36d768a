"""How many students fit at once, on one machine or on the nodes of a cluster."""

import json
import math
import os
from collections.abc import Sequence

import torch

from selkd.config import RunConfig
from selkd.errors import UserError
from selkd.training.ray_entry import Resources, wants_gpu

ROUNDING = 1e-9
PROMISED = "SELKD_NODES"
"""Variable that says what nodes a cluster makes when they are asked for: [[how many, what each has], ...] in JSON."""


def all_nodes(alive: Sequence[Resources]) -> Sequence[Resources]:
    """The nodes that a cluster has, or may have where it grows: students that wait for room are what makes it grow."""
    promised = [node for count, node in json.loads(os.environ.get(PROMISED, "[]")) for _ in range(count)]
    return promised or alive


def here(config: RunConfig) -> list[Resources]:
    """This machine as the Ray that starts on it: workers of a student may outnumber its cores, CPUs of one may not."""
    cores, workers = os.cpu_count() or 1, config.workers
    cpus = max(cores, math.ceil(workers.count * workers.cpus)) if workers.cpus <= cores else cores
    return [{"CPU": cpus, "GPU": torch.cuda.device_count()}]


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


def room(nodes: Sequence[Resources], config: RunConfig, wanted: int | None) -> int:
    """How many trials fit at once; refused at once where not even one does."""
    for name, amount in needs(config, nodes).items():
        most = max((node.get(name, 0) for node in nodes), default=0)
        if amount > most:
            key = f"workers.{name.lower()}s"
            remedy = f"Lower {key}." if most else "Use workers.device=auto or cpu."
            raise UserError(f"{key}: {amount:g} a worker, and no node has more than {most:g}. {remedy}")
    fitting = at_once(config, nodes, wanted)
    if not fitting:
        count, room = config.workers.count, slots(nodes, needs(config, nodes))
        raise UserError(f"workers.count: {count} workers do not fit: there is room for {room}. Lower it.")
    return fitting
