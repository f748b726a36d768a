"""Downloads of published data sets: the only code that reaches for the network, and only when asked."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from selkd.data.sources import PUBLISHED
from selkd.data.sources.originals import Download, Published
from selkd.errors import UserError, nearest
from selkd.files import checksum, writing

PIECE = 2**18
TIMEOUT = 60  # seconds without an answer

Progress = Callable[[str, int, int | None], None]  # file, bytes so far, bytes in all where the server says so


def fetch(
    name: str, root: Path, *, progress: Progress | None = None, published: Mapping[str, Published] = PUBLISHED
) -> list[Path]:
    """Download the files of a data set to `root`/NAME unless they are there, and verify them."""
    if name not in published:
        raise UserError(f"data set {name!r} is unknown. {nearest(name, published)}")
    source = published[name]
    if not source.downloads:
        raise UserError(f"{name} needs no download: it is installed with selkd. Use it as it is.")
    folder = root / name
    return [_fetched(download, folder / download.file, progress) for download in source.downloads]


def _fetched(download: Download, path: Path, progress: Progress | None) -> Path:
    if path.is_file() and checksum(path) == download.checksum:
        return path
    with writing(path) as part:
        _save(download, part, path.parent, progress)
        found = part.stat().st_size
        if checksum(part) != download.checksum:
            raise UserError(
                f"{download.address} gave other content than was published ({found:,} bytes; truncated or corrupt). "
                "Nothing was kept. Try again."
            )
    return path


def _save(download: Download, path: Path, folder: Path, progress: Progress | None) -> None:
    with _reaching(download, folder):
        response: HTTPResponse = urlopen(download.address, timeout=TIMEOUT)
    total = response.length
    with response, path.open("wb") as file:
        while piece := _next(response, download, folder):
            file.write(piece)
            if progress is not None:
                progress(download.file, file.tell(), total)


def _next(response: HTTPResponse, download: Download, folder: Path) -> bytes:
    with _reaching(download, folder):
        return response.read(PIECE)


@contextlib.contextmanager
def _reaching(download: Download, folder: Path) -> Iterator[None]:
    """Failures of the network, and of it alone, become errors for people."""
    try:
        yield
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()
        raise UserError(
            f"{download.address} cannot be downloaded ({error}). Check the network, or put {download.file} into "
            f"{folder} yourself."
        ) from error
