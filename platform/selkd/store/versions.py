"""The versions of a folder that a store holds.

`runs/KEY/objects/WRITER/SHA256` are contents, `runs/KEY/versions/RANK-NUMBER-WRITER.json` say which make up the folder.
Nothing is ever overwritten; the version of the highest rank, and then number, counts. A writer removes only its own.
"""

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from selkd.errors import UserError
from selkd.files import fingerprint, read_json, write_json
from selkd.store import MARK, Damaged
from selkd.store.place import Place


class Kept(NamedTuple):
    """A file of a version: its content, and the object that holds it."""

    bytes: int
    sha256: str
    object: str


class Name(NamedTuple):
    """Which of two versions counts is the order of their names."""

    rank: int
    number: int
    writer: str

    @classmethod
    def of(cls, file: str) -> "Name":
        rank, number, writer = file.rpartition("/")[2].removesuffix(".json").split("-")
        return cls(int(rank), int(number), writer)

    def __str__(self) -> str:
        return f"{self.rank:06d}-{self.number:09d}-{self.writer}"


@dataclass(frozen=True)
class Mark:
    """Which version of a local folder the store has; kept beside it."""

    writer: str
    store: str = ""
    version: str = ""
    files: dict[str, Kept] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "Mark | None":
        try:
            found = read_json(folder / MARK)
            return cls(**found | {"files": _kept(found["files"])})
        except (UserError, KeyError, TypeError):  # none, or not to be understood: then all is published again
            return None

    def write(self, folder: Path) -> None:
        write_json(folder / MARK, asdict(self))


def newest(place: Place, key: str) -> Name | None:
    """The version of a folder that counts."""
    files = [name for name in place.sizes(f"{key}/versions") if name.endswith(".json")]
    return max(map(Name.of, files), default=None)


def read(place: Place, key: str, name: Name) -> dict[str, Kept]:
    """The files of a version."""
    path = f"{key}/versions/{name}.json"
    try:
        content = json.loads(place.get(path))
        seal = content.pop("seal")
        if fingerprint(content) == seal and content["folder"] == key:
            return _kept(content["files"])
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise Damaged(f"{place.uri}/{path}: damaged. {REMEDY}")


def write(place: Place, key: str, name: Name, files: dict[str, Kept]) -> None:
    content = {"folder": key, "time": time.time_ns() // 1_000_000, "files": {k: list(v) for k, v in files.items()}}
    sealed = json.dumps(content | {"seal": fingerprint(content)}).encode()
    place.put(f"{key}/versions/{name}.json", lambda: [sealed])


REMEDY = (
    "Nothing of it is used. Restore it from a copy of the store, or remove the folder there: what is missing there is "
    "made again."
)


def _kept(files: dict[str, Any]) -> dict[str, Kept]:
    """Names that lead out of their folder make no version."""
    found = {name: Kept(*kept) for name, kept in files.items()}
    if any(
        Path(name).is_absolute() or ".." in Path(name).parts for name in (*found, *(k.object for k in found.values()))
    ):
        raise ValueError("a name leads out of its folder")
    return found
