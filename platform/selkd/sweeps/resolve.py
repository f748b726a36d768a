"""What a space's `search` means: wildcards and `declared` become the parameters that components declare."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from selkd.config import validate
from selkd.errors import UserError, nearest
from selkd.sweeps.candidates import Candidates
from selkd.sweeps.components import components, declared, has, known_keys, owner
from selkd.sweeps.parameters import KINDS, AnyParameter, kind_of
from selkd.sweeps.tree import lookup

DECLARED = "declared"
DRAWS = 300


def resolved_search(search: Any, base: Mapping[str, Any]) -> dict[str, AnyParameter]:
    """A key and its parameter for everything searched; what is written out wins over what a wildcard finds."""
    written = _as_mapping(search)
    explicit = {key: _written(key, spec) for key, spec in written.items() if spec != DECLARED}
    found: dict[str, AnyParameter] = {}
    wild: set[str] = set()
    for key in written:
        if key in explicit:
            found[key] = explicit[key]
        else:
            declares = {one: spec for one, spec in _declared(key, explicit, base).items() if one not in explicit}
            found |= declares
            wild |= set(declares) if key.endswith("*") else set()
    useless = wild - _acting(found, base) if wild else set()
    return {key: parameter for key, parameter in found.items() if key not in useless}


def _written(key: str, spec: Any) -> AnyParameter:
    if key.endswith("*"):
        raise ValueError(f"search.{key}: {spec!r} is not allowed for a wildcard. Write {DECLARED!r}.")
    try:
        parameter: AnyParameter = validate(KINDS[kind_of(spec)], spec, f"search.{key}")  # pyright: ignore
    except UserError as error:
        raise ValueError(str(error)) from None
    except ValueError as error:
        raise ValueError(f"search.{key}: {error}") from None
    _refuse_what_names_no_component(key, parameter.values() or ())
    return parameter


def _refuse_what_names_no_component(key: str, values: Sequence[Any]) -> None:
    """A component is chosen by a word, or as a group with that word."""
    component = components().get(key) or owner(key)
    if component is None or key not in (component.group, component.key):
        return
    for value in values:
        name = value.get(component.tag) if key == component.group and isinstance(value, Mapping) else value
        if not isinstance(name, str | None):
            raise ValueError(f"search.{key}: {value!r} names nothing. Valid: {', '.join(component.members)}.")


def _acting(search: Mapping[str, AnyParameter], base: Mapping[str, Any]) -> set[str]:
    """The keys that some candidate has: a wildcard also finds those of the other task mode."""
    candidates = Candidates(base, {key: one for key, one in search.items() if one.kind != "subset"}, [])
    rng = np.random.default_rng(0)
    return {key for _ in range(DRAWS) for key in candidates.walk(lambda _, one: one.at(rng.random()))}


def _as_mapping(search: Any) -> dict[str, Any]:
    if isinstance(search, str):
        return {search: DECLARED}
    if isinstance(search, list) and all(isinstance(key, str) for key in search):
        return dict.fromkeys(search, DECLARED)
    if isinstance(search, Mapping) and all(isinstance(key, str) for key in search):
        return dict(search)
    raise ValueError(f"search: {search!r} is neither a name, a list of names, nor keys with their parameters.")


def _declared(key: str, explicit: Mapping[str, AnyParameter], base: Mapping[str, Any]) -> dict[str, AnyParameter]:
    """The parameters that the reachable members of components declare under a key or wildcard."""
    prefix = key.removesuffix("*")
    names = [one for one in sorted(known_keys()) if one == key or (key.endswith("*") and one.startswith(prefix))]
    if not names:
        raise ValueError(f"search.{key}: unknown key. {nearest(key, known_keys())}")
    found = {}
    for one in names:
        reachable = _members(one, explicit, base)
        parameter = declared(one, reachable)
        if parameter is not None and (reachable is None or any(has(one, name) for name in reachable)):
            found[one] = parameter
    if not found:
        remedy = "Write a parameter, for example {choice: [a, b]} or {log: [0.1, 10]}."
        raise ValueError(f"search.{key}: no range is declared for it. {remedy}")
    return found


def _members(key: str, explicit: Mapping[str, AnyParameter], base: Mapping[str, Any]) -> set[Any] | None:
    """The members of the key's component that candidates may have."""
    component = owner(key)
    if component is None:
        return None
    for searched in (component.key, component.group):
        if searched in explicit:
            values = explicit[searched].values() or ()
            return {value.get(component.tag) if isinstance(value, Mapping) else value for value in values}
    group = lookup(base, component.group)
    return {group if isinstance(group, str) else (group or {}).get(component.tag, component.default)}
