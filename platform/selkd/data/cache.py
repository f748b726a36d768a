"""The cache of arrays: whatever is made once and then shared as memory-mapped files.

A folder per key, named by the key's fingerprint, holds one `.npy` file an array and `meta.json` with the key and the
checksums.
"""

import contextlib
import errno
import logging
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from selkd.errors import UserError
from selkd.files import cannot_write, checksum, fingerprint, read_json, write_json, writing_folder
from selkd.store import store

PATIENCE = 5.0  # seconds to wait for another process before saying so

Create = Callable[[str, tuple[int, ...], str], np.ndarray]

log = logging.getLogger(__name__)
_verified: set[tuple[str, int, int, int, str]] = set()


class Arrays(Mapping[str, np.ndarray]):
    """Read-only arrays by name, mapped from the files of `folder`."""

    def __init__(self, folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
        self.folder = folder
        self._arrays = arrays

    @property
    def fingerprint(self) -> str:
        return self.folder.name

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


class Damaged(Exception):
    """Stored arrays that cannot be trusted; the message names the file."""


class ArrayCache:
    """Content-addressed arrays under one folder, safe for any number of processes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, key: Mapping[str, Any], make: Callable[[Create], None], *, what: str) -> Arrays:
        """The arrays of `key`; `make(create)` makes them when absent, `create(name, shape, dtype)` maps one.

        `what` they are is said where something is wrong with them.
        """
        folder = self.root / fingerprint(key)
        with contextlib.suppress(FileNotFoundError, Damaged):
            return _read(folder)
        with self._alone(folder, what):
            try:
                return _read(folder)
            except FileNotFoundError:
                pass
            except Damaged as damage:
                warnings.warn(f"{damage}: {what} are made again.", stacklevel=2)
                _remove(folder)
            for abandoned in self.root.glob(f".{folder.name}.*/"):
                _remove(abandoned)
            store().bring([folder])
            with contextlib.suppress(FileNotFoundError, Damaged):
                return _read(folder)
            _write(folder, key, make, what)
            store().keep(folder)
            return _read(folder)

    @contextlib.contextmanager
    def _alone(self, folder: Path, what: str) -> Iterator[None]:
        """Wait until no other process makes the same arrays."""
        lock = FileLock(self.root / f".{folder.name}.lock")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=PATIENCE)
            except Timeout:
                log.warning("waiting for another process that makes %s in %s", what, folder)
                lock.acquire()
        except OSError as error:
            raise cannot_write(self.root, error) from error
        try:
            yield
        finally:
            lock.release()


def _write(folder: Path, key: Mapping[str, Any], make: Callable[[Create], None], what: str) -> None:
    with writing_folder(folder) as part:

        def create(name: str, shape: tuple[int, ...], dtype: str) -> np.ndarray:
            try:
                array = np.lib.format.open_memmap(part / f"{name}.npy", mode="w+", dtype=np.dtype(dtype), shape=shape)
                _reserve(part / f"{name}.npy")
            except OSError as error:
                raise cannot_write(folder, error) from error
            arrays.append(array)
            return array

        arrays: list[np.memmap] = []
        try:
            make(create)
        except OSError as error:
            raise UserError(f"{what} could not be made: {error}") from error
        for array in arrays:
            array.flush()
        checksums = {file.stem: checksum(file) for file in sorted(part.glob("*.npy"))}
        content = {"key": dict(key), "checksums": checksums}
        write_json(part / "meta.json", {**content, "fingerprint": fingerprint(content)})


def _reserve(file: Path) -> None:
    """Take the disk space now: a full disk met while writing through a map kills the process."""
    size = file.stat().st_size
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as opened:
            os.posix_fallocate(opened.fileno(), 0, size)
    elif shutil.disk_usage(file.parent).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _read(folder: Path) -> Arrays:
    """Map stored arrays; FileNotFoundError when there is none, Damaged when it is not what was written."""
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    try:
        meta = read_json(folder / "meta.json")
        content = {"key": meta["key"], "checksums": meta["checksums"]}
        sound = meta["fingerprint"] == fingerprint(content)
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(f"{folder / 'meta.json'} is missing or unreadable") from error
    if not sound:
        raise Damaged(f"{folder / 'meta.json'} is corrupt (its fingerprint differs)")
    if fingerprint(content["key"]) != folder.name:
        raise Damaged(f"{folder / 'meta.json'} describes other arrays")
    arrays = {name: _map(folder / f"{name}.npy", expected) for name, expected in content["checksums"].items()}
    return Arrays(folder, arrays)


def _map(file: Path, expected: str) -> np.ndarray:
    """Map one array; its checksum is compared once per process, until the file changes."""
    try:
        status = file.stat()
        seen = (str(file), status.st_ino, status.st_size, status.st_mtime_ns, expected)
        if seen not in _verified:
            if checksum(file) != expected:
                raise Damaged(f"{file} is corrupt (its checksum differs)")
            _verified.add(seen)
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise Damaged(f"{file} cannot be read ({error})") from error


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise cannot_write(folder, error) from error
