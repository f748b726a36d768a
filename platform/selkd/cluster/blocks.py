"""YAML as a person would write it: block style, and a line of why above a key where one would ask."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml


@dataclass(frozen=True)
class Noted:
    """A value with the reason for it."""

    value: Any
    why: str


def text(documents: Sequence[Mapping[str, Any]]) -> str:
    """The documents of one file; a reason that comes again is not said again."""
    said: set[str] = set()
    return "---\n".join("\n".join(_lines(document, said)) + "\n" for document in documents)


def plain(value: Any) -> Any:
    """The same without reasons."""
    if isinstance(value, Noted):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {key: plain(below) for key, below in value.items()}
    if isinstance(value, list):
        return [plain(below) for below in value]
    return value


def _lines(value: Any, said: set[str]) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, noted in value.items():
            below, why = (noted.value, noted.why) if isinstance(noted, Noted) else (noted, "")
            if why and why not in said:
                said.add(why)
                yield f"# {why}"
            if isinstance(below, Mapping | list) and below:
                yield f"{_scalar(key)}:"
                yield from (f"  {line}" for line in _lines(below, said))
            elif isinstance(below, str) and (lines := _literal(below)):
                yield f"{_scalar(key)}: |"
                yield from lines
            else:
                yield f"{_scalar(key)}: {_scalar(below)}"
    elif isinstance(value, list):
        for item in value:
            first, *others = _lines(item, said)
            yield f"- {first}"
            yield from (f"  {line}" for line in others)
    else:
        yield _scalar(value)


def _literal(value: str) -> list[str]:
    """Lines of a text as they are, where it has several and YAML reads them back so."""
    if value.count("\n") < 2:
        return []
    lines = [f"  {line}" if line else "" for line in value.removesuffix("\n").split("\n")]
    try:
        read = yaml.safe_load("\n".join(["k: |", *lines, ""]))
    except yaml.YAMLError:
        return []
    return lines if read == {"k": value} else []


def _scalar(value: Any) -> str:
    """One value on one line, quoted where YAML would read it as something else."""
    return yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True).removesuffix("...\n").strip()
