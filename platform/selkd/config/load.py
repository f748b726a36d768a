"""Configuration files: YAML read safely, dotted overrides, and errors that name file, key, value and remedy."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from selkd.config.choices import NAMED
from selkd.errors import UserError, nearest

M = TypeVar("M", bound=BaseModel)

MAX_BYTES = 1 << 20
MAX_DEPTH = 20
_QUOTED = r"'([^']*)'"


class _Loader(yaml.SafeLoader):
    """Plain data only: no tags, no anchors (a small file can unfold to gigabytes), no key twice, 1e-4 is a number."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.constructor.ConstructorError(
                None, None, "anchors and aliases are not read: write the value out", event.start_mark
            )
        if self.depth > MAX_DEPTH:
            raise yaml.constructor.ConstructorError(None, None, "nested too deeply", event.start_mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool):
                raise yaml.constructor.ConstructorError(None, None, "keys must be plain words", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)
_Loader.yaml_implicit_resolvers = {  # dates stay text: no key of ours is a date
    first: [(tag, pattern) for tag, pattern in found if not tag.endswith(":timestamp")]
    for first, found in _Loader.yaml_implicit_resolvers.items()
}


def parse(text: str, source: str) -> Any:
    """The plain data of a YAML text."""
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        problem = getattr(error, "problem", None) or str(error) or type(error).__name__
        mark = getattr(error, "problem_mark", None)
        where = f"{source}, line {mark.line + 1}" if mark else source
        raise UserError(f"{where}: {problem}") from None


def read(path: Path) -> dict[str, Any]:
    """A YAML file whose top level is a mapping."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from None
    if len(content) > MAX_BYTES:
        raise UserError(f"{path}: larger than {MAX_BYTES} bytes; is it a configuration?")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; is it a configuration?") from None
    found = parse(text, str(path))
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise UserError(f"{path}: expected `key: value` lines at the top, found a {type(found).__name__}")
    return found


def override(config: Mapping[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """A copy of `config` with dotted settings such as `objective.epsilon=2` applied; values are read as YAML.

    An objective or a policy given by its name alone becomes a group, so that its settings have a place.
    """
    merged = _copy(config)
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key or not all(key.split(".")):
            raise UserError(f"{setting!r}: write an override as key=value, for example objective.epsilon=2")
        *parents, leaf = key.split(".")
        place = merged
        for depth, parent in enumerate(parents, 1):
            key_of_name = NAMED.get(".".join(parents[:depth]))
            if key_of_name and isinstance(place.get(parent), str):
                place[parent] = {key_of_name: place[parent]}
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise UserError(f"{setting!r}: {'.'.join(parents[:depth])} is a value, not a group of keys")
        place[leaf] = parse(value, f"override {key}")
    return merged


def validate(model: type[M], config: Any, source: str) -> M:
    """`config` as `model`, or one readable error with a line for every fault."""
    try:
        return model.model_validate(config)
    except ValidationError as error:
        faults = [_fault(model, fault, config) for fault in error.errors(include_url=False)]
        raise UserError("\n".join(f"{source}: {fault}" for fault in dict.fromkeys(faults))) from None


def _copy(value: Any) -> Any:
    return {k: _copy(v) for k, v in value.items()} if isinstance(value, Mapping) else value


def _fault(model: type[BaseModel], fault: Any, config: Any) -> str:
    path = _written(fault["loc"], config)
    key = ".".join(str(part) for part in path) or "configuration"
    kind, context, value = fault["type"], fault.get("ctx", {}), fault["input"]
    if kind == "extra_forbidden":
        told = f"{key}: unknown key. {nearest(str(path[-1]), keys_at(model, fault['loc'][:-1]))}"
    elif kind == "missing":
        told = f"{key}: missing. Add it."
    elif kind == "union_tag_not_found":
        told = f"{key}.{_unquoted(context['discriminator'])}: missing. Add it."
    elif kind == "union_tag_invalid":
        tag, allowed = str(context["tag"]), [_unquoted(tag) for tag in context["expected_tags"].split(",")]
        told = f"{key}.{_unquoted(context['discriminator'])}: {tag!r} is unknown. {nearest(tag, allowed)}"
    elif kind == "literal_error":
        told = f"{key}: {_short(value)} is not allowed. {nearest(str(value), re.findall(_QUOTED, context['expected']))}"
    elif kind == "value_error":
        told = f"{key}: {context['error']}" if path else str(context["error"])
    else:
        told = f"{key}: {_short(value)} is refused: {fault['msg'][0].lower()}{fault['msg'][1:]}."
    return told


def _written(loc: Sequence[Any], config: Any) -> list[str | int]:
    """The location as the user wrote it: without the tags that a discriminated union puts into it."""
    path: list[str | int] = []
    for index, part in enumerate(loc):
        last = index == len(loc) - 1
        if isinstance(config, str) and part == config:  # a component given by its name alone
            continue
        known = isinstance(config, Mapping) and (part in config or (last and part not in config.values()))
        if known or isinstance(config, list | tuple) or not isinstance(config, Mapping):
            path.append(part)
            try:
                config = config[part]
            except (KeyError, IndexError, TypeError):
                config = None
    return path


def keys_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """Names of the fields that are allowed at a location of `model`."""
    found: Any = model
    for part in loc:
        fields = getattr(found, "model_fields", {})
        if part in fields:
            found = fields[str(part)].annotation
        else:  # the tag of a union member
            members = getattr(found, "__args__", ())
            found = next((m for m in members if part in _tags(m)), None)
    return list(getattr(found, "model_fields", {}))


def _tags(member: Any) -> set[Any]:
    """The one value that a field of a union's member allows."""
    literals = [
        f.annotation for f in getattr(member, "model_fields", {}).values() if get_origin(f.annotation) is Literal
    ]
    return {get_args(literal)[0] for literal in literals if len(get_args(literal)) == 1}


def _unquoted(text: str) -> str:
    return text.strip("' ")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
