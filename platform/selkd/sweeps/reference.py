"""The keys of a search space, generated from the models: `python -m selkd.sweeps.reference docs/search-spaces.md`."""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_origin

from pydantic import BaseModel

from selkd.config.reference import keys, table
from selkd.files import write_bytes
from selkd.sweeps.goals import Limit
from selkd.sweeps.parameters import KINDS
from selkd.sweeps.samplers import SAMPLERS, Tpe
from selkd.sweeps.settings import Plan, Stopping
from selkd.sweeps.space import SearchSpace

KEYS = "## Keys"


def page(text: str) -> str:
    """The page with its keys as the models say; what is above them is written by hand."""
    return text.partition(KEYS)[0] + reference()


def reference() -> str:
    """All keys, in Markdown."""
    parts = [KEYS, _section(SearchSpace)]
    parts += ["### Parameters", "Each has `when`, too."]
    parts += [part for kind, cls in KINDS.items() for part in _titled(f"`{kind}`", cls, "when")]
    parts += ["### Constraints", _section(Limit)]
    parts += ["### Comparison", inspect.getdoc(Plan) or "", _section(Plan)]
    parts += [
        part for cls in SAMPLERS for part in _titled(f"`sampler: {cls.model_fields['name'].default}`", cls, "name")
    ]
    rules = get_args(get_args(Stopping)[0])
    parts += [part for cls in rules for part in _titled(f"`stopping: {_rule(cls)}`", cls, "rule")]
    return "\n\n".join(part for part in parts if part) + "\n"


def _titled(title: str, cls: type[BaseModel], but: str) -> Iterator[str]:
    yield f"#### {title}"
    yield inspect.getdoc(cls) or ""
    yield _section(cls, but)


def _section(cls: type[BaseModel], but: str = "") -> str:
    rows = [_row(cls, *row) for row in keys(cls, "") if row[0] != but]
    return table(rows) if rows else ""


def _row(cls: type[BaseModel], key: str, kind: str, default: str, meaning: str) -> tuple[str, str, str, str]:
    """As in the reference of runs; groups are called so, and a sampler is shown by its name."""
    field = cls.model_fields.get(key)
    annotation = field.annotation if field else None
    if "dict[" in str(annotation):
        kind = "list of groups" if get_origin(annotation) is list else "group"
        kind += " or null" if type(None) in get_args(annotation) else ""
    if key == "sampler":
        default = f'`"{Tpe().name}"`'
    return (field and field.alias) or key, kind, default, meaning


def _rule(cls: type[BaseModel]) -> str:
    return get_args(cls.model_fields["rule"].annotation)[0]


if __name__ == "__main__":
    path = Path(sys.argv[1])
    write_bytes(path, page(path.read_text()).encode())
