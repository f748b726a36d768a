"""Ray nodes on this machine, each with processes and CPUs of its own, for the benchmarks of clusters."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from selkd.training.ray_entry import ENVIRONMENT

TRAINS = "Trainable.train"
"""What Ray calls a process that trains a student at this moment."""


class Nodes:
    """A cluster whose nodes come and go; its head has no CPU."""

    def __init__(self, cluster: Any) -> None:
        self.cluster = cluster

    def add(self, cpus: int = 1) -> Any:
        return self.cluster.add_node(num_cpus=cpus)

    def busy(self) -> list[Any]:
        """Nodes on which a student trains."""
        return [node for node in self.cluster.worker_nodes if _trains(node)]

    def kill(self, node: Any) -> None:
        """As a machine dies: at once, and without a word."""
        self.cluster.remove_node(node, allow_graceful=False)


@contextmanager
def nodes(*cpus: int) -> Iterator[Nodes]:
    """Nodes of so many CPUs, with this process as driver. It needs a token in RAY_AUTH_TOKEN before Ray is imported."""
    os.environ.update(ENVIRONMENT)
    import ray
    from ray.cluster_utils import Cluster

    found = Nodes(Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}))
    try:
        for count in cpus:
            found.add(count)
        ray.init(found.cluster.address, log_to_driver=False, logging_level=40)
        yield found
    finally:
        ray.shutdown()
        found.cluster.shutdown()


def _trains(node: Any) -> bool:
    [raylet] = node.all_processes["raylet"]
    try:
        workers = psutil.Process(raylet.process.pid).children()
        return any(TRAINS in " ".join(worker.cmdline()) for worker in workers)
    except psutil.Error:
        return False
