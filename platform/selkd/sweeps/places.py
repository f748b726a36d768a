"""Where students start. A node may take a trial and be unable to start its process: its disk is full, say."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from ray.tune import PlacementGroupFactory

NODE = "node"
"""What a trial tells when it begins."""
SHUNNED = "shunned"
"""The nodes on which a trial is not to begin."""
LABEL = "ray.io/node-id"  # Ray gives it to every node
HOPE = 60.0
"""Seconds after the first loss of this kind in which some student should have begun somewhere."""


class Places:
    """Where students train now. A trial whose process never started is tried again where others do, or on new nodes."""

    def __init__(self, alive: Callable[[], set[str]]) -> None:
        self.alive = alive
        self._started: set[str] = set()
        self._node: dict[str, str] = {}  # of the trials that train
        self._shunned: dict[str, set[str]] = {}  # of the trials that never began
        self._since: float | None = None

    def shunned(self, key: str) -> list[str]:
        return sorted(self._shunned.get(key, ()))

    def nowhere(self, alive: set[str]) -> bool:
        """Whether a trial waits for another node than there are."""
        return any(shunned and alive <= shunned for shunned in self._shunned.values())

    def started(self, key: str) -> None:
        self._started.add(key)
        self._shunned.pop(key, None)

    def began(self, key: str, node: str) -> None:
        self._node[key], self._since = node, None

    def ended(self, key: str) -> None:
        self._started.discard(key)
        self._node.pop(key, None)

    def lost(self, key: str) -> bool:
        """Whether it counts that a trial was lost: not before it is known on which nodes students begin at all."""
        if key in self._started:
            self.ended(key)
            return True
        alive = self.alive()
        busy = alive & set(self._node.values())
        self._shunned[key] = alive - busy if busy else set()
        self._since = self._since or time.monotonic()
        return bool(busy) or time.monotonic() - self._since > HOPE


def placement(need: Mapping[str, float], order: Mapping[str, Any]) -> PlacementGroupFactory:
    """What a trial holds, and not on the nodes that its order shuns."""
    shunned = ",".join(order[SHUNNED])
    where = {"bundle_label_selector": [{LABEL: f"!in({shunned})"}]} if shunned else {}
    return PlacementGroupFactory([dict(need)], "PACK", **where)
