"""Files that are whole or absent: atomic writes, checksums and fingerprints, in one place."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from selkd.errors import Busy, CannotWrite, UserError


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; on success sync it and rename it over `path`, on failure remove it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    os.close(handle)
    part = Path(name)
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.chmod(0o644)
        part.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def writing_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling folder that becomes `path` on success; a `path` that exists by then is kept."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield part
        part.chmod(0o755)
        if not path.exists():
            part.rename(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_bytes(path: Path, content: bytes) -> None:
    with writing(path) as part:
        part.write_bytes(content)


def write_json(path: Path, content: Any) -> None:
    write_bytes(path, (json.dumps(content, indent=2, sort_keys=True) + "\n").encode())


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError, RecursionError) as error:  # nested too deeply, or a number of too many digits
        raise UserError(f"{path}: cannot be read as JSON ({error})") from error


def checksum(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(content: Any) -> str:
    """SHA-256 of a JSON-able value in canonical form: equal content, equal name."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def cannot_write(path: Path, error: OSError) -> CannotWrite:
    return CannotWrite(f"cannot write {path}: {error.strerror or error}. Free space or choose a writable folder.")


@contextlib.contextmanager
def holding(lock: Path, patience: float, busy: str) -> Iterator[None]:
    """Hold a lock file, so that nobody else does; `busy` is said when it is not free within `patience` seconds."""
    held = FileLock(lock, timeout=patience)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held.acquire()
    except Timeout:
        raise Busy(busy) from None
    except OSError as error:
        raise cannot_write(lock.parent, error) from error
    try:
        yield
    finally:
        held.release()
