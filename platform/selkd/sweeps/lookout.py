"""A node that was told that it goes soon, as preempted ones are: students leave it while there is time."""

import time
from typing import Any

import ray

from selkd.training.ending import Moved

PACE = 2.0
"""Seconds between two questions to the cluster."""


class Lookout:
    """Asks Ray, now and then, whether the node of this process is about to go."""

    def __init__(self) -> None:
        self._node = ray.get_runtime_context().get_node_id() if ray.is_initialized() else None
        self._cluster: Any = ray
        self._asked = time.monotonic()

    def look(self) -> None:
        """To be called where a checkpoint was just written, or can be; raises `Moved`."""
        if self._node is None or time.monotonic() - self._asked < PACE:
            return
        self._asked = time.monotonic()
        if self._node in self._cluster._private.state.state.get_draining_nodes():
            raise Moved("its node is about to go; it goes on elsewhere")
