"""The candidates of a search space: which parameters each has, its configuration, and how many there are.

A parameter is active where its `when` holds, its component has the key, and the key can act beside the others.
A candidate's parameters are the active ones, in a fixed order: parents before those that depend on them.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from selkd.config import RunConfig, validate
from selkd.config.conflicts import conflicts
from selkd.errors import UserError
from selkd.sweeps.components import components, has, owner
from selkd.sweeps.parameters import AnyParameter, Choice, Grid, Subset, same
from selkd.sweeps.tree import lookup, put, with_components

Parameters = dict[str, Any]
Pick = Callable[[str, AnyParameter], Any]
Pairs = Mapping[str, Any]

DRAWS = 300
COUNTED = 20_000
"""Candidates beyond which a finite space is no longer counted one by one."""


class Size(NamedTuple):
    """How many candidates there are; without a total, how many parameters are ranges of numbers."""

    total: int | None
    ranges: int
    exact: bool = True

    def __str__(self) -> str:
        if self.total is None:
            return f"infinite ({self.ranges} range{'s' * (self.ranges > 1)})"
        return f"{self.total:,}" if self.exact else f"at most {self.total:,}"


class Situation(NamedTuple):
    """All settings that a candidate's choices lead to, and the keys that cannot act beside them."""

    settings: Mapping[str, Any]
    idle: frozenset[str]


class Candidates:
    """All candidates of a base configuration, its parameters and its forbidden combinations."""

    def __init__(self, base: Mapping[str, Any], search: Mapping[str, AnyParameter], forbid: Sequence[Pairs]) -> None:
        self.base, self.forbid = base, forbid
        self.search = {key: search[key] for key in _ordered(search)}
        parents = {key for parameter in search.values() for key in parameter.when}
        self._deciding = parents | {key for key, parameter in search.items() if isinstance(parameter, Choice | Grid)}
        self._situations: dict[str, Situation] = {}

    def walk(self, pick: Pick) -> Parameters:
        """The candidate whose active parameters have the values that `pick` gives."""
        chosen: Parameters = {}
        situation = self._situation(chosen)
        for key, parameter in self.search.items():
            if self._acts(key, situation):
                chosen[key] = pick(key, parameter)
                if key in self._deciding:
                    situation = self._situation(chosen)
        return chosen

    def active(self, key: str, chosen: Mapping[str, Any]) -> bool:
        """Whether a candidate with these earlier parameters has this one."""
        return self._acts(key, self._situation(chosen))

    def _acts(self, key: str, situation: Situation) -> bool:
        component = owner(key)
        return (
            key not in situation.idle
            and (component is None or has(key, lookup(situation.settings, component.key)))
            and all(
                any(same(lookup(situation.settings, parent), value) for value in allowed)
                for parent, allowed in self.search[key].when.items()
            )
        )

    def settings(self, chosen: Mapping[str, Any]) -> Mapping[str, Any]:
        """All settings of the configuration so far, defaults included."""
        return self._situation(chosen).settings

    def tree(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration of a candidate, as a user would write it."""
        found: dict[str, Any] = json.loads(json.dumps(self.base))
        for key in self.search:
            if key in parameters:
                put(found, key, parameters[key])
        return found

    def forbidden(self, parameters: Mapping[str, Any]) -> bool:
        """Whether a forbidden combination holds for this candidate."""
        if not self.forbid:
            return False
        settings = self._situation(parameters, {key for pairs in self.forbid for key in pairs}).settings
        return any(all(same(lookup(settings, key), value) for key, value in pairs.items()) for pairs in self.forbid)

    def fault(self, parameters: Mapping[str, Any]) -> str | None:
        """Why no run can have these parameters."""
        try:
            validate(RunConfig, self.tree(parameters), "")
        except UserError as error:
            return str(error).splitlines()[0].removeprefix(": ")
        return None

    def allowed(self, parameters: Mapping[str, Any]) -> bool:
        return not self.forbidden(parameters) and self.fault(parameters) is None

    def contains(self, parameters: Mapping[str, Any], subset_fits: Callable[[str, Any], bool]) -> bool:
        """Whether these are the parameters of a candidate that may be proposed."""
        left = dict(parameters)

        def given(key: str, parameter: AnyParameter) -> Any:
            if key not in left:
                raise KeyError(key)
            value = left.pop(key)
            fits = subset_fits(key, value) if isinstance(parameter, Subset) else parameter.contains(value)
            if not fits:
                raise KeyError(key)
            return value

        try:
            return self.allowed(self.walk(given)) and not left
        except KeyError:
            return False

    def every(self, subsets: Callable[[str], Iterator[Sequence[str]]]) -> Iterator[Parameters]:
        """Every allowed candidate of a finite space, once, the last parameter varying fastest."""

        def values(key: str, parameter: AnyParameter) -> Iterator[Any]:
            found = parameter.values()
            return map(list, subsets(key)) if isinstance(parameter, Subset) else iter(found or ())

        return (candidate for candidate in self._branches(values) if self.allowed(candidate))

    def size(self, subsets: Callable[[str], int]) -> Size:
        """The number of allowed candidates; forbidden subsets of a larger space are counted in."""
        ranges = [key for key, parameter in self.search.items() if self.continuous(parameter)]
        if ranges:
            return Size(None, len(ranges))
        product = 1
        for key, parameter in self.search.items():
            product *= subsets(key) if isinstance(parameter, Subset) else len(parameter.values() or ())
        chosen = {key for key, parameter in self.search.items() if isinstance(parameter, Subset)}
        hidden = chosen & (
            {k for pairs in self.forbid for k in pairs} | {k for p in self.search.values() for k in p.when}
        )
        found = list(
            islice(self._branches(lambda k, p: iter([None]) if k in chosen else iter(p.values() or ())), COUNTED)
        )
        if hidden or len(found) == COUNTED:
            return Size(product, 0, exact=False)
        count = 0
        for candidate in found:
            here = 1
            for key in chosen & set(candidate):
                here *= subsets(key)
            plain = {key: value for key, value in candidate.items() if key not in chosen}
            count += here if self.allowed(plain) else 0
        return Size(count, 0)

    @staticmethod
    def continuous(parameter: AnyParameter) -> bool:
        return not isinstance(parameter, Subset) and parameter.values() is None

    @cached_property
    def ranges(self) -> dict[str, AnyParameter]:
        """The ranges that all candidates have."""
        rng = np.random.default_rng(0)
        drawn = [
            self.walk(lambda _, one: None if isinstance(one, Subset) else one.at(rng.random())) for _ in range(DRAWS)
        ]
        return {
            key: one
            for key, one in self.search.items()
            if one.kind in ("uniform", "log", "integer") and all(key in candidate for candidate in drawn)
        }

    @cached_property
    def grid(self) -> list[Parameters]:
        """Every combination of the grids' values."""
        found: list[Parameters] = [{}]
        for key, parameter in self.search.items():
            if isinstance(parameter, Grid):
                found = [{**point, key: value} for point in found for value in parameter.grid]
        return found

    def _branches(self, values: Callable[[str, AnyParameter], Iterator[Any]]) -> Iterator[Parameters]:
        keys = list(self.search)

        def below(index: int, chosen: Parameters) -> Iterator[Parameters]:
            while index < len(keys) and not self.active(keys[index], chosen):
                index += 1
            if index == len(keys):
                yield chosen
                return
            for value in values(keys[index], self.search[keys[index]]):
                yield from below(index + 1, {**chosen, keys[index]: value})

        return below(0, {})

    def _situation(self, chosen: Mapping[str, Any], besides: Collection[str] = ()) -> Situation:
        deciding = {key: value for key, value in chosen.items() if key in self._deciding or key in besides}
        name = json.dumps(deciding, sort_keys=True)
        if name not in self._situations:
            if len(self._situations) >= COUNTED:
                self._situations.clear()
            self._situations[name] = _read(self.tree(deciding))
        return self._situations[name]


def _read(tree: dict[str, Any]) -> Situation:
    """All settings of a configuration with its defaults; only those written where it is not valid alone."""
    try:
        config = RunConfig.model_validate(tree)
    except ValueError:
        return Situation(with_components(tree), frozenset())
    idle = {f"{group}.{name}" for group, _, names, _, _ in conflicts(config) for name in names}
    return Situation(config.model_dump(mode="json"), frozenset(idle))


def _ordered(search: Mapping[str, AnyParameter]) -> list[str]:
    """Groups and names of components first, then other choices, then ranges; parents before their children."""
    component_keys = {key for component in components().values() for key in (component.group, component.key)}

    def rank(key: str) -> tuple[bool, bool, int]:
        return (key not in component_keys, not isinstance(search[key], Choice | Grid), key.count("."))

    found: list[str] = []

    def visit(key: str, seen: tuple[str, ...]) -> None:
        if key in seen:
            raise ValueError(f"search.{key}.when: {' -> '.join((*seen, key))} goes in a circle. Remove one condition.")
        if key in found:
            return
        for parent in search[key].when:
            if parent in search:
                visit(parent, (*seen, key))
        found.append(key)

    for key in sorted(search, key=rank):
        visit(key, ())
    return found
