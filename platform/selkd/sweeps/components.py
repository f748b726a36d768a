"""The keys of a run's configuration as a search sees them: which component has which, and what it declares.

A component is a group that first names a member of a registry (`objective.name`, `student.model`,
`selection.samples.policy`); its other keys depend on that name.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from selkd import models
from selkd.config import RunConfig
from selkd.sweeps.parameters import AnyParameter, Choice, Integer, Log, Uniform, kind_of

Fields = Mapping[str, FieldInfo]


@dataclass(frozen=True)
class Component:
    """A group of keys whose members are told apart by the key `tag`."""

    group: str
    tag: str
    members: Mapping[str, Fields]
    default: str | None

    @property
    def key(self) -> str:
        return f"{self.group}.{self.tag}"


@cache
def components() -> Mapping[str, Component]:
    """Every component of a run's configuration, by its group."""
    configurable = [family for family in models.FAMILIES if family.settings.model_fields]
    architectures = {name: family.settings.model_fields for family in configurable for name in family.names}
    student = Component("student", "model", architectures, RunConfig.model_fields["student"].get_default(
        call_default_factory=True).model)  # fmt: skip
    return {"student": student} | {found.group: found for found in _below(RunConfig, "")}


def owner(key: str) -> Component | None:
    """The component that a key is a setting of."""
    return components().get(key.rpartition(".")[0])


def has(key: str, name: Any) -> bool:
    """Whether the member `name` of the key's component has the key."""
    component = owner(key)
    return component is None or key == component.key or key.rpartition(".")[2] in component.members.get(name, {})


@cache
def known_keys() -> frozenset[str]:
    """Every key that a configuration may have, groups included."""
    found = set(_plain(RunConfig, ""))
    for component in components().values():
        found |= {component.group, component.key}
        found |= {f"{component.group}.{field}" for fields in component.members.values() for field in fields}
    return frozenset(found)


def declared(key: str, names: set[Any] | None = None) -> AnyParameter | None:
    """The range that a key's component declares for it; the widest where the members `names` differ."""
    component = owner(key)
    if component is None:
        return None
    leaf = key.rpartition(".")[2]
    found = [
        _parameter(fields[leaf])
        for name, fields in component.members.items()
        if leaf in fields and (names is None or name in names)
    ]
    found = [parameter for parameter in found if parameter is not None]
    return _widest(found) if found else None


def _parameter(field: FieldInfo) -> AnyParameter | None:
    """`search` beside a field: [lowest, highest], a list of choices, or a parameter as in a search space.

    A range that spans a factor of ten is searched by its logarithm.
    """
    extra = field.json_schema_extra
    search: Any = extra.get("search") if isinstance(extra, dict) else None
    if search is None:
        return None
    if isinstance(search, Mapping):
        return {cls.kind: cls for cls in (Choice, Uniform, Log, Integer)}[kind_of(search)].model_validate(search)
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in search)
    if len(search) != 2 or not numbers:
        return Choice(choice=list(search))
    low, high = search
    if isinstance(low, int) and isinstance(high, int):
        return Integer(integer=(low, high))
    return Log(log=(low, high)) if low > 0 and high / low >= 10 else Uniform(uniform=(low, high))


def _widest(found: list[Any]) -> Any:
    first, *others = found
    if all(other == first for other in others):
        return first
    if all(isinstance(parameter, Choice) for parameter in found):
        values = [value for parameter in found for value in parameter.choice]
        return Choice(choice=[value for index, value in enumerate(values) if value not in values[:index]])
    low, high = min(p.bounds[0] for p in found), max(p.bounds[1] for p in found)
    return Log(log=(low, high)) if all(isinstance(p, Log) for p in found) else Uniform(uniform=(low, high))


def _below(model: type[BaseModel], prefix: str) -> Iterator[Component]:
    for name, field in model.model_fields.items():
        members = _models(field.annotation)
        tag = next((key for key in members[0].model_fields if all(_tag(m, key) for m in members)), None) if (
            members) else None  # fmt: skip
        if tag is not None:
            default: Any = field.get_default(call_default_factory=True)
            default = default.get(tag) if isinstance(default, Mapping) else getattr(default, tag, default)
            fields = {str(_tag(m, tag)): {k: f for k, f in m.model_fields.items() if k != tag} for m in members}
            yield Component(f"{prefix}{name}", tag, fields, default if isinstance(default, str) else None)
        elif len(members) == 1:
            yield from _below(members[0], f"{prefix}{name}.")


def _plain(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}"
        members = _models(field.annotation)
        if len(members) == 1:
            yield from _plain(members[0], f"{prefix}{name}.")


def _models(kind: Any) -> list[type[BaseModel]]:
    """The models that a field's type mentions."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    return [] if get_origin(kind) is Literal else [m for part in get_args(kind) for m in _models(part)]


def _tag(model: type[BaseModel], key: str) -> str | None:
    """The one value of a key that tells this model from others."""
    field = model.model_fields.get(key)
    values = get_args(field.annotation) if field and get_origin(field.annotation) is Literal else ()
    return values[0] if len(values) == 1 else None
