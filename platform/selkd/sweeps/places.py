"""Where students start. A node may take a trial and be unable to start its process: its disk is full, say."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from ray.tune import PlacementGroupFactory

NODE = "node"
"""What a trial tells when it begins, and the key of the nodes on which it may begin."""
HOPE = 60.0
"""Seconds after the first such loss in which some student should have begun somewhere."""
LABEL = "ray.io/node-id"  # Ray gives it to every node


class Places:
    """Nodes on which a student began; a trial whose process never started is tried again on one of those."""

    def __init__(self, alive: Callable[[], set[str]]) -> None:
        self._alive = alive
        self._good: set[str] = set()
        self._training: set[str] = set()
        self._stranded: set[str] = set()
        self._since: float | None = None

    def allowed(self, key: str) -> list[str]:
        """The nodes on which this trial is to begin; none says anywhere."""
        return sorted(self._good & self._alive()) if key in self._stranded else []

    def started(self, key: str) -> None:
        self._training.add(key)

    def began(self, node: str) -> None:
        self._good.add(node)

    def ended(self, key: str) -> None:
        self._training.discard(key)
        self._stranded.discard(key)

    def lost(self, key: str) -> bool:
        """Whether it counts that a trial was lost: not before it is known on which nodes students begin at all."""
        if key in self._training:
            self.ended(key)
            return True
        self._stranded.add(key)
        self._since = self._since or time.monotonic()
        return bool(self.allowed(key)) or time.monotonic() - self._since > HOPE


def placement(need: Mapping[str, float], order: Mapping[str, Any]) -> PlacementGroupFactory:
    """What a trial holds, on the nodes that its order names."""
    where = {"bundle_label_selector": [{LABEL: f"in({','.join(order[NODE])})"}]} if order[NODE] else {}
    return PlacementGroupFactory([dict(need)], "PACK", **where)
