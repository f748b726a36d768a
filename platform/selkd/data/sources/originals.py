"""Published data sets: files whose content is known, wherever they came from."""

import gzip
import tarfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from selkd.data import decoded
from selkd.data.dataset import Dataset, Rows
from selkd.errors import UserError

MOST = 2**28
"""Bytes of a file, unpacked; the largest published one has 154 million."""


@dataclass(frozen=True)
class Download:
    """A file as its publisher serves it."""

    file: str
    address: str
    checksum: str  # SHA-256


@dataclass(frozen=True)
class Published:
    """A data set by name: its categories, the SHA-256 of its content, and how its files become rows."""

    name: str
    about: str
    categories: tuple[str, ...]
    checksums: Mapping[str, str]  # of every uncompressed file
    read: Callable[["Published", Path], Mapping[str, Rows]]
    superclasses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    archive: str | None = None  # a .tar.gz that holds all files
    folder: str = ""  # inside the archive
    elsewhere: tuple[Path, ...] = ()
    downloads: tuple[Download, ...] = ()
    advice: str = ""

    def load(self, root: Path, image_size: int | None) -> Dataset:
        return decoded.keep(
            root,
            {"name": self.name, "checksums": dict(self.checksums)},
            lambda: self.read(self, root),
            name=self.name,
            categories=self.categories,
            superclasses=self.superclasses,
            image_size=image_size,
        )

    def contents(self, root: Path) -> dict[str, bytes]:
        """The verified content of every file."""
        places = (root / self.name, *self.elsewhere)
        for place in places:
            archive = place / self.archive if self.archive else None
            if archive and archive.is_file():
                return self._verified(archive, _unpacked(archive, [f"{self.folder}/{name}" for name in self.checksums]))
            found = {name: _found(place / self.folder / name) for name in self.checksums}
            if any(found.values()):
                return self._read_each(place / self.folder, found)
        raise UserError(self._missing(list(self.checksums), places))

    def _read_each(self, place: Path, found: Mapping[str, Path | None]) -> dict[str, bytes]:
        missing = [name for name, path in found.items() if path is None]
        if missing:
            raise UserError(self._missing(missing, (place,)))
        contents = {}
        for name, path in found.items():
            assert path is not None
            contents |= self._verified(path, {name: _content(path)})
        return contents

    def _verified(self, path: Path, contents: Mapping[str, bytes]) -> dict[str, bytes]:
        named = {Path(name).name: content for name, content in contents.items()}
        for name, content in named.items():
            if sha256(content).hexdigest() != self.checksums[name]:
                inside = "" if name in path.name else f": {name}"
                raise UserError(
                    f"{path}{inside} is truncated or corrupt: it is not the {name} of the published {self.name}. "
                    f"Delete it and get it again. {self.remedy}"
                )
        return named

    def _missing(self, names: list[str], places: tuple[Path, ...]) -> str:
        wanted = ", ".join(names)
        if self.archive:
            wanted = f"{self.archive}, or {wanted} in {self.folder}"
        looked = " or ".join(str(place) for place in places)
        return f"{self.name}: files not found: {wanted}. Looked in {looked}. {self.remedy}"

    @property
    def remedy(self) -> str:
        """How to get the files."""
        if not self.downloads:
            return "Installed with selkd."
        return f"Run `selkd data fetch {self.name}`{self.advice}."


def _found(path: Path) -> Path | None:
    for candidate in (path, path.with_name(f"{path.name}.gz")):
        if candidate.is_file():
            return candidate
    return None


def _limited(content: bytes) -> bytes:
    """Nothing of a file that unfolds to more than any published one."""
    return content if len(content) <= MOST else b""


def _content(path: Path) -> bytes:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _limited(file.read(MOST + 1))
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return b""
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error


def _unpacked(archive: Path, members: list[str]) -> dict[str, bytes]:
    """Members of an archive by name, empty where they cannot be read; nothing is written to disk."""
    contents = dict.fromkeys(members, b"")
    try:
        with tarfile.open(archive, "r:gz") as opened:
            for member in opened:
                wanted = member.name in contents and member.size <= MOST
                file = opened.extractfile(member) if wanted else None
                if file is not None:
                    contents[member.name] = file.read()
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile):
        pass
    except OSError as error:
        raise UserError(f"{archive} cannot be read: {error.strerror or error}.") from error
    return contents
