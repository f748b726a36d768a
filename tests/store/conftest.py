"""Stores of every kind, and an S3-compatible server that can be made to fail."""

import http.client
import http.server
import logging
import threading
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from selkd.store import patience
from selkd.store.copies import Store

BUCKET = "bucket"
KINDS = ("file", "fsspec-file", "fsspec-memory", "s3")


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """Host and port of an S3-compatible server with one bucket."""
    from moto.server import ThreadedMotoServer

    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "nobody")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/{BUCKET}", method="PUT"))
        yield f"{host}:{port}"
        server.stop()


def address(server: str, folder: str) -> str:
    return f"s3://{BUCKET}/{folder}?endpoint_override={server}&scheme=http&region=us-east-1"


@pytest.fixture(params=KINDS)
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store of each kind."""
    folder = uuid.uuid4().hex
    match request.param:
        case "file":
            return f"file://{tmp_path}/store"
        case "fsspec-file":
            return f"fsspec+file://{tmp_path}/store"
        case "fsspec-memory":
            return f"memory://{folder}"
    return address(request.getfixturevalue("s3"), folder)


@pytest.fixture
def kept(uri: str) -> Store:
    return Store(uri)


@pytest.fixture
def bucket(s3: str) -> Callable[[str], str]:
    """The address of a folder in the bucket."""
    return lambda folder: address(s3, folder)


class Faults(http.server.ThreadingHTTPServer):
    """Passes requests on to a server, unless `fault(method, path)` has something else in mind."""

    daemon_threads = True

    def __init__(self, server: str) -> None:
        super().__init__(("127.0.0.1", 0), Passing)
        self.behind = server
        self.requests = 0
        self.fault: Callable[[str, str], Any] = lambda method, path: None

    @property
    def uri(self) -> str:
        return address(f"127.0.0.1:{self.server_port}", "through")


class Passing(http.server.BaseHTTPRequestHandler):
    """A fault is a status, or "cut": half of the answer's body."""

    protocol_version = "HTTP/1.1"  # clients wait a second for a server that does not say "100 Continue"

    def answer(self) -> None:
        proxy = self.server
        assert isinstance(proxy, Faults)
        body = b"".join(self.chunks())
        proxy.requests += 1
        fault = proxy.fault(self.command, self.path)
        if isinstance(fault, int):
            self.send_response(fault)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        onward = http.client.HTTPConnection(proxy.behind)
        onward.request(self.command, self.path, body, {**self.headers, "Content-Length": str(len(body))})
        reply = onward.getresponse()
        content = reply.read()
        onward.close()
        self.send_response(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "server", "date"):
                self.send_header(name, value)
        self.end_headers()
        if fault == "cut":
            content, self.close_connection = content[: len(content) // 2], True
        self.wfile.write(content)

    def chunks(self) -> Iterator[bytes]:
        """The request's body, whichever way it is sent."""
        if "Transfer-Encoding" not in self.headers:
            yield self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return
        del self.headers["Transfer-Encoding"]
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def faults(s3: str) -> Iterator[Faults]:
    """A way to the S3-compatible server on which things go wrong."""
    proxy = Faults(s3)
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    yield proxy
    proxy.shutdown()
    proxy.server_close()


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses to speak of."""
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(patience, "REST", 0.2)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    """Makes the folder of a run in a workspace."""

    def make(workspace: str = "here", **files: str | bytes) -> Path:
        folder = tmp_path / workspace / "runs" / "key"
        for name, content in files.items():
            path = folder / name.replace("__", "/").replace("_json", ".json")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return folder

    return make


@pytest.fixture
def tree() -> Callable[[Path], dict[str, bytes]]:
    """What is in a folder, hidden files left out."""

    def read(folder: Path) -> dict[str, bytes]:
        files = (path for path in folder.rglob("*") if path.is_file())
        named = {path.relative_to(folder).as_posix(): path for path in files}
        return {name: path.read_bytes() for name, path in named.items() if not name.startswith(".")}

    return read
