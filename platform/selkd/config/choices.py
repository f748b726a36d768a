"""A group of keys that first names a component of a registry: `objective.name`, `selection.samples.policy`."""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, create_model

NAMED = {
    "objective": "name",
    "semantics": "source",
    "weighting": "policy",
    "selection.categories": "policy",
    "selection.samples": "policy",
    "selection.teachers": "policy",
}
"""Such groups of a run, and the key that names the component."""


def choice(registry: Mapping[str, Any], key: str) -> Any:
    """The type of such a group: one model a component, told apart by `key`; the name alone is enough."""
    members: list[Any] = []
    for name, cls in registry.items():
        named: dict[str, Any] = {key: (Literal[name], name)}
        members.append(create_model(f"{cls.__name__}Choice", __base__=cls.Settings, __doc__=cls.__doc__, **named))
    union = Annotated[reduce(or_, members), Field(discriminator=key)]
    return Annotated[union, BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)]
