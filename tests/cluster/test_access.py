"""Which token is sent where, and what is said of clusters that ask for none."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from selkd.cluster import head
from selkd.cluster.access import OPEN, headers_of, is_open, token_of
from selkd.cluster.job import Job
from selkd.cluster.ray_jobs import RayJobs
from selkd.cluster.submission import submit
from selkd.config import Workspace
from selkd.errors import UserError


@pytest.fixture
def dashboard() -> Iterator[Callable[[int], str]]:
    """The address of something that answers every request so."""
    servers: list[HTTPServer] = []

    def start(status: int) -> str:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(b'{"data": {"result": {"result": []}}}')

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_cluster_without_a_token_is_warned_of_with_the_reason(
    dashboard: Callable[[int], str], workspace: Workspace, job: Callable[..., Job]
) -> None:
    address = dashboard(200)
    assert is_open(address)
    [warning] = RayJobs(address, workspace).check(job(where={"ray": address}), None)
    assert warning == OPEN.format(address=address)
    assert "exploited widely" in warning


def test_a_token_that_is_refused_is_a_users_mistake(
    dashboard: Callable[[int], str], workspace: Workspace, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = dashboard(401)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "wrong-token")
    with pytest.raises(UserError, match="does not accept the token") as refused:
        submit(job(where={"ray": address}), workspace)
    assert "wrong-token" not in str(refused.value)
    assert "RAY_AUTH_TOKEN_PATH" in str(refused.value)


def test_a_cluster_that_does_not_answer_is_named() -> None:
    with pytest.raises(UserError, match=r"no answer from http://127\.0\.0\.1:9"):
        is_open("http://127.0.0.1:9")


def test_a_cluster_of_other_machines_needs_shared_storage(workspace: Workspace, job: Callable[..., Job]) -> None:
    with pytest.raises(UserError, match=r"storage\.workspace: missing"):
        RayJobs("http://10.0.0.1:8265", workspace).check(job(where={"ray": "http://10.0.0.1:8265"}), None)


def test_each_cluster_gets_its_own_token(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token of our head is not sent to anybody else."""
    folder = workspace.root / head.FOLDER
    folder.mkdir(parents=True)
    (folder / head.TOKEN).write_text("ours")
    head.write_json(folder / head.STATE, {"address": "http://127.0.0.1:1", "temporary": "/tmp/none", "processes": []})
    monkeypatch.setenv("RAY_AUTH_TOKEN", "theirs")
    assert token_of("http://127.0.0.1:1", workspace) == "ours"
    assert token_of("http://127.0.0.1:2", workspace) == "theirs"
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert token_of("http://127.0.0.1:2", workspace) is None
    (tmp_path / "file").write_text("from a file\n")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "file"))
    assert token_of("http://127.0.0.1:2", workspace) == "from a file"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "absent"))
    with pytest.raises(UserError, match="RAY_AUTH_TOKEN_PATH"):
        token_of("http://127.0.0.1:2", workspace)
    assert headers_of(None) == {}
    assert headers_of("x") == {"Authorization": "Bearer x"}
