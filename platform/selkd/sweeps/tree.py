"""Configurations as nested groups: dotted keys set and read, where the keys of a component depend on its name."""

import json
from collections.abc import Mapping
from typing import Any

from selkd.sweeps.components import components


def put(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key. A component that changes keeps those of its keys that the new one has, too."""
    *parents, leaf = key.split(".")
    place = tree
    for depth, parent in enumerate(parents, 1):
        component = components().get(".".join(parents[:depth]))
        if component and isinstance(place.get(parent), str):
            place[parent] = {component.tag: place[parent]}
        place = place.setdefault(parent, {})
    component = components().get(".".join(parents))
    if component and leaf == component.tag:
        kept = {name: old for name, old in place.items() if name in component.members.get(value, {})}
        place.clear()
        place.update(kept)
    place[leaf] = value
    if key == "training.steps":
        place.pop("epochs", None)


def lookup(settings: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key; None where there is none."""
    found: Any = settings
    for part in key.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(part)
    return found


def with_components(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    """A copy in which every component has its name: for a configuration that is not valid alone."""
    found = json.loads(json.dumps(tree))
    for component in components().values():
        if lookup(found, component.key) is None:
            named = lookup(found, component.group)
            put(found, component.key, named if isinstance(named, str) else component.default)
    return found
