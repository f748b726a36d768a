"""What a folder of the workspace holds at one moment, as far as it belongs in a store."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

GROWING = ".jsonl"
"""Ending of files that only grow: whole lines of them are taken, as many as there are."""
LOCAL = ("end.json", "stop", "ray")
"""What only the machine means that works on it; so are hidden files, locks, and how much one MLflow has."""
PIECE = 2**20
TRIES = 3

_known: dict[tuple[str, int, int, int], str] = {}


class Found(NamedTuple):
    """The first `bytes` of a file, and their SHA-256."""

    bytes: int
    sha256: str


class Changed(Exception):
    """A file was replaced or removed while it was read."""


def survey(folder: Path, leave_out: Sequence[str] = ()) -> dict[str, Found]:
    """The files of a folder by relative name, all as they were at one moment."""
    for _ in range(TRIES):
        before = _stamps(folder, leave_out)
        try:
            found = {name: _found(folder / name, stamp) for name, stamp in before.items()}
        except Changed:
            continue
        if before.keys() == (after := _stamps(folder, leave_out)).keys() and all(
            name.endswith(GROWING) or before[name] == after[name] for name in before
        ):
            return found
    raise Changed(f"{folder}: its files change too often to be copied now.")


def pieces(file: Path, size: int) -> Iterator[bytes]:
    """The first `size` bytes of a file."""
    try:
        with file.open("rb") as opened:
            while size and (piece := opened.read(min(size, PIECE))):
                size -= len(piece)
                yield piece
    except OSError as error:
        raise Changed(f"{file}: {error.strerror}") from error


def _stamps(folder: Path, leave_out: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if name.parts[0] in leave_out or not _belongs(name):
            continue
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        if path.is_file():
            found[name.as_posix()] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found


def _belongs(name: Path) -> bool:
    hidden = any(part.startswith(".") for part in name.parts)
    return not hidden and name.parts[0] not in LOCAL and name.suffix != ".lock" and not name.match("delivered-*.json")


def _found(file: Path, stamp: tuple[int, int, int]) -> Found:
    size = stamp[1]
    if file.name.endswith(GROWING):
        content = b"".join(pieces(file, size))
        whole = content[: content.rfind(b"\n") + 1]
        return Found(len(whole), hashlib.sha256(whole).hexdigest())
    key = (str(file), *stamp)
    if key not in _known:
        digest = hashlib.sha256()
        for piece in pieces(file, size):
            digest.update(piece)
        _known[key] = digest.hexdigest()
    return Found(size, _known[key])
