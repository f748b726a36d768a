"""Downloads, against a real server on the loopback interface."""

import dataclasses
import threading
from collections.abc import Iterator, Mapping
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from selkd.data import fetch
from selkd.data.sources import PUBLISHED
from selkd.data.sources.idx import MNIST
from selkd.data.sources.originals import Download, Published
from selkd.errors import UserError

CONTENTS = {f"{part}.gz": np.random.default_rng(i).bytes(600_000) for i, part in enumerate(("images", "labels"))}


class Server(ThreadingHTTPServer):
    """Serves `CONTENTS`; the path's first part says what goes wrong."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.server.requests.append(self.path)
        _, fate, name = self.path.split("/")
        content = CONTENTS[name]
        if fate == "missing":
            self.send_error(404)
            return
        if fate == "corrupt":
            content = content[:-1] + bytes([content[-1] ^ 1])
        self.send_response(200)
        if fate != "unannounced":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:1000] if fate == "truncated" else content)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _published(server: Server, fate: str = "sound") -> Mapping[str, Published]:
    downloads = tuple(
        Download(name, f"{server.address}/{fate}/{name}", sha256(content).hexdigest())
        for name, content in CONTENTS.items()
    )
    return {"generated": dataclasses.replace(MNIST, name="generated", downloads=downloads)}


@pytest.mark.parametrize("fate", ["sound", "unannounced"])
def test_files_come_whole_and_progress_is_told(server: Server, tmp_path: Path, fate: str) -> None:
    told: list[tuple[str, int, int | None]] = []
    paths = fetch("generated", tmp_path, published=_published(server, fate), progress=lambda *now: told.append(now))
    assert paths == [tmp_path / "generated" / name for name in CONTENTS]
    assert {path.name: path.read_bytes() for path in paths} == CONTENTS
    total = 600_000 if fate == "sound" else None
    for name in CONTENTS:
        steps = [(done, of) for told_name, done, of in told if told_name == name]
        assert [done for done, _ in steps] == sorted(done for done, _ in steps)
        assert steps[-1] == (600_000, total)
        assert {of for _, of in steps} == {total}


def test_files_that_are_there_are_not_downloaded_again(server: Server, tmp_path: Path) -> None:
    fetch("generated", tmp_path, published=_published(server))
    (tmp_path / "generated" / "labels.gz").write_bytes(b"damaged")
    server.requests.clear()
    fetch("generated", tmp_path, published=_published(server))
    assert server.requests == ["/sound/labels.gz"]
    assert (tmp_path / "generated" / "labels.gz").read_bytes() == CONTENTS["labels.gz"]


@pytest.mark.parametrize(
    ("fate", "message"),
    [
        ("corrupt", r"gave other content than was published \(600,000 bytes"),
        ("truncated", r"1,000 bytes|cannot be downloaded"),
        ("missing", r"cannot be downloaded \(HTTP Error 404"),
    ],
)
def test_bad_download_is_refused_and_leaves_nothing(server: Server, tmp_path: Path, fate: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as refusal:
        fetch("generated", tmp_path, published=_published(server, fate))
    assert f"{server.address}/{fate}/images.gz" in str(refusal.value)
    assert not list((tmp_path / "generated").iterdir())


def test_bad_download_leaves_the_file_that_was_there(server: Server, tmp_path: Path) -> None:
    old = tmp_path / "generated" / "images.gz"
    old.parent.mkdir()
    old.write_bytes(b"older")
    with pytest.raises(UserError):
        fetch("generated", tmp_path, published=_published(server, "corrupt"))
    assert old.read_bytes() == b"older"


def test_unreachable_server_is_an_error_for_people(tmp_path: Path) -> None:
    with Server() as closed:
        published = _published(closed)
    with pytest.raises(UserError, match=r"cannot be downloaded .*Check the network"):
        fetch("generated", tmp_path, published=published)


@pytest.mark.parametrize(
    ("name", "message"), [("digits", "needs no download"), ("cifar", "Did you mean 'cifar10'"), ("x", "Valid: digits")]
)
def test_what_cannot_be_fetched_is_said(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        fetch(name, tmp_path)


def test_downloads_bring_what_the_reader_looks_for() -> None:
    for source in PUBLISHED.values():
        files = {download.file.removesuffix(".gz") for download in source.downloads}
        if source.archive:
            assert {d.file for d in source.downloads} == {source.archive}
        elif files:
            assert files == set(source.checksums)
