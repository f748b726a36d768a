"""An append-only file of events: one JSON line each, numbered, timed and checksummed."""

import contextlib
import errno
import json
import logging
import math
import os
import re
import time
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from selkd.errors import UserError
from selkd.files import cannot_write

log = logging.getLogger(__name__)

FORMAT = 1
RESERVED = {"n", "time", "event", "crc"}
PATIENCE = 60.0
_SEAL = re.compile(rb',"crc":"([0-9a-f]{8})"}\n\Z')

Event = dict[str, Any]


class Ledger:
    """Events of one trial or study, in the order in which they happened.

    A line is on disk when `append` returns. Any number of processes may append; readers never write. A last line that a
    kill or a full disk cut off is ignored by readers; the next append removes it and says so in an event of its own.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._events: list[Event] = []
        self._end = 0

    @property
    def id(self) -> str | None:
        """The identity of this file: another ledger for the same trial has another one."""
        events = self.events()
        return events[0]["id"] if events else None

    def events(self) -> list[Event]:
        """Every event so far; only what was added since the last call is read."""
        try:
            self._read()
        except FileNotFoundError:
            pass
        except OSError as error:
            raise UserError(
                f"{self.path}: cannot be read ({error.strerror}). Restore the file from a copy, "
                "or delete the folder and run again."
            ) from None
        return list(self._events)

    def append(self, kind: str, **fields: Any) -> Event:
        """Write one event and wait until it is on disk. Numbers that JSON lacks become the text "nan" or "inf"."""
        assert not RESERVED & fields.keys(), f"{sorted(RESERVED & fields.keys())} are written by the ledger"
        with self._opened() as file:
            torn = self._read()
            if torn:
                os.ftruncate(file, self._end)
                log.warning("%s: the last line was cut off (%d bytes) and is removed", self.path, torn)
            if not self._events:
                self._write(file, "ledger", {"format": FORMAT, "id": uuid.uuid4().hex})
            if torn:
                self._write(file, "torn", {"bytes": torn})
            self._write(file, kind, fields)
        return self._events[-1]

    def _write(self, file: int, kind: str, fields: Event) -> None:
        last = self._events[-1]["time"] if self._events else 0
        now = max(time.time_ns() // 1_000_000, last)
        event = _plain({"n": len(self._events), "time": now, "event": kind, **fields})
        line = _sealed(event)
        try:
            if os.write(file, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file)
        except OSError as error:
            os.ftruncate(file, self._end)
            raise cannot_write(self.path, error) from error
        self._events.append(event)
        self._end += len(line)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path.with_suffix(".lock"), timeout=PATIENCE, poll_interval=0.005):
                file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
                try:
                    yield file
                finally:
                    os.close(file)
        except Timeout:
            raise UserError(f"{self.path}: another process has held it for {PATIENCE:.0f} s. End that one.") from None
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def _read(self) -> int:
        """Take in the lines after the last one known; return the length of a torn end."""
        with self.path.open("rb") as file:
            file.seek(self._end)
            lines = file.readlines()
        for index, line in enumerate(lines):
            event = _opened_seal(line)
            if event is None or event["n"] != len(self._events):
                if index == len(lines) - 1 and event is None:
                    return len(line)
                raise UserError(
                    f"{self.path}, line {len(self._events) + 1}: damaged (its checksum or number is wrong). "
                    "Restore the file from a copy, or delete the folder and run again."
                )
            self._events.append(event)
            self._end += len(line)
        return 0


def _sealed(event: Event) -> bytes:
    body = json.dumps(event, separators=(",", ":"), allow_nan=False).encode()
    return body[:-1] + b',"crc":"%08x"}\n' % zlib.crc32(body)


def _opened_seal(line: bytes) -> Event | None:
    """The event of a line, or nothing when the line is not as it was written."""
    seal = _SEAL.search(line)
    if seal is None or int(seal[1], 16) != zlib.crc32(body := line[: seal.start()] + b"}"):
        return None
    return json.loads(body)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
