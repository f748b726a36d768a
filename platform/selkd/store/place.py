"""One folder of any file system that pyarrow or fsspec knows: objects that are whole or absent."""

import contextlib
import hashlib
import os
import posixpath
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from pyarrow import ArrowException
from pyarrow.fs import FileSelector, FileSystem, FileType

from selkd.errors import UserError
from selkd.store.patience import Patience

PIECE = 2**20
OBJECT_STORES = ("s3", "gcs", "abfs")
"""File systems in which an object appears when it is whole, and folders need not be made."""
PART = ".part"
"""Ending of what is being written, on all other file systems."""
EXAMPLE = "s3://bucket/folder, gs://bucket/folder or file:///mnt/folder"

Pieces = Callable[[], Iterable[bytes]]


class Place:
    """The objects below one address. Names are relative, with slashes."""

    def __init__(self, uri: str) -> None:
        self._files, self._root = _opened(uri)
        self.uri = urlunsplit(urlsplit(uri)._replace(query=""))  # options may be many, and some are secret
        self._patiently = Patience(self.uri)
        if self._files.type_name in OBJECT_STORES:
            bucket = self._root.split("/")[0]
            if self._patiently(lambda: self._files.get_file_info(bucket)).type == FileType.NotFound:
                raise UserError(f"SELKD_STORE: there is no bucket {bucket}. Make it, or name another.")

    def put(self, name: str, pieces: Pieces) -> str:
        """Write an object and read it back; its SHA-256."""
        return self._patiently(lambda: self._put(self._path(name), pieces))

    def get(self, name: str) -> bytes:
        return self._patiently(lambda: b"".join(self._read(self._path(name))))

    def pieces(self, name: str) -> Iterator[bytes]:
        """An object piece by piece, tried once: see `patiently`."""
        return self._read(self._path(name))

    def size(self, name: str) -> int | None:
        return self._patiently(lambda: self._files.get_file_info(self._path(name)).size)

    def sizes(self, folder: str, older_than: float | None = None) -> dict[str, int]:
        """The objects below a folder by name, and their sizes; only those that are known to be older, where asked."""
        selector = FileSelector(self._path(folder), allow_not_found=True, recursive=True)
        found = self._patiently(lambda: self._files.get_file_info(selector))
        root = posixpath.join(self._root, "")
        if older_than is not None:
            before = datetime.now(UTC) - timedelta(seconds=older_than)
            found = [one for one in found if one.mtime is not None and one.mtime <= before]
        return {one.path.removeprefix(root): one.size or 0 for one in found if one.type == FileType.File}

    def children(self, folder: str) -> list[str]:
        """The names one level below a folder."""
        selector = FileSelector(self._path(folder), allow_not_found=True)
        found = self._patiently(lambda: self._files.get_file_info(selector))
        return sorted(posixpath.basename(one.path.rstrip("/")) for one in found)

    def delete(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._patiently(lambda: self._files.delete_file(self._path(name)))

    def delete_below(self, folder: str) -> None:
        for name in self.sizes(folder):
            self.delete(name)
        with contextlib.suppress(OSError):  # empty folders, where the file system has them
            self._files.delete_dir(self._path(folder))

    def patiently(self, action: Callable[[], Any]) -> Any:
        """Try something that reads from here as often as everything else."""
        return self._patiently(action)

    def _path(self, name: str) -> str:
        return posixpath.join(self._root, name)

    def _read(self, path: str) -> Iterator[bytes]:
        with self._files.open_input_stream(path, compression=None) as stream:
            while piece := stream.read(PIECE):
                yield piece

    def _put(self, path: str, pieces: Pieces) -> str:
        part, digest = path, hashlib.sha256()
        if self._files.type_name not in OBJECT_STORES:
            self._files.create_dir(posixpath.dirname(path), recursive=True)
            part = f"{path}.{uuid.uuid4().hex}{PART}"
        try:
            with self._files.open_output_stream(part, compression=None) as stream:
                for piece in pieces():
                    stream.write(piece)
                    digest.update(piece)
            back = hashlib.sha256()
            for piece in self._read(part):
                back.update(piece)
            if back.digest() != digest.digest():
                raise OSError(f"{path} was not stored as it was written")
            if part != path:
                self._files.move(part, path)
        except BaseException:
            if part != path:
                with contextlib.suppress(OSError):
                    self._files.delete_file(part)
            raise
        return digest.hexdigest()


def _opened(uri: str) -> tuple[Any, str]:
    """A file system and the path in it."""
    parts = urlsplit(uri)
    if "@" in parts.netloc:
        raise UserError("SELKD_STORE: an address holds no key or password. Set them as variables of the environment.")
    known = parts.scheme in ("gs", "gcs", "abfs", "abfss", "hdfs", "viewfs", "file") or "fsspec+" in parts.scheme
    if not parts.scheme:
        raise UserError(f"SELKD_STORE: {uri!r} is no address. Write it like {EXAMPLE}.")
    try:
        if parts.scheme == "s3":
            return _s3(dict(parse_qsl(parts.query)), parts.netloc), f"{parts.netloc}{parts.path}".rstrip("/")
        files, path = FileSystem.from_uri(uri if known else f"fsspec+{uri}")
    except (ArrowException, ImportError, OSError, TypeError, ValueError) as error:
        raise UserError(f"SELKD_STORE: {parts.scheme}:// cannot be used ({error}). Write it like {EXAMPLE}.") from None
    return files, path.rstrip("/")


def _s3(options: dict[str, Any], bucket: str) -> FileSystem:
    """S3 with the options of an address. The client tries once, since we try again; small objects are one request."""
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem, resolve_s3_region

    told = {"region", "endpoint_override"} & options.keys() or {"AWS_REGION", "AWS_DEFAULT_REGION"} & os.environ.keys()
    if not told:
        options["region"] = resolve_s3_region(bucket)
    once = AwsStandardS3RetryStrategy(max_attempts=1)
    return S3FileSystem(**options, retry_strategy=once, allow_delayed_open=True)
