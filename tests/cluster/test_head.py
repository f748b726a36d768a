"""A head of one's own: token, loopback, and nobody else's processes."""

import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import requests

from selkd.cluster import head
from selkd.cluster.processes import Recorded, end
from selkd.config import Workspace

SLEEPER = [sys.executable, "-c", "import time; time.sleep(120)"]


@pytest.fixture
def stranger() -> Iterator[psutil.Process]:
    """A process that is not ours to end."""
    process = subprocess.Popen(SLEEPER)
    yield psutil.Process(process.pid)
    process.kill()
    process.wait()


def test_a_process_is_known_by_number_and_birth(stranger: psutil.Process) -> None:
    recorded = Recorded.of(stranger)
    assert recorded.found() == stranger
    assert replace(recorded, born=recorded.born - 1).found() is None, "the number was given to another process"
    end([stranger], grace=5)
    assert recorded.found() is None


def test_records_of_a_head_that_is_gone_end_nobody(tmp_path: Path, stranger: psutil.Process) -> None:
    """After a restart of the machine, its numbers belong to others."""
    workspace = Workspace(tmp_path)
    folder = workspace.root / head.FOLDER
    folder.mkdir()
    born = stranger.create_time() - 3600
    state = {"address": "http://127.0.0.1:9", "temporary": str(tmp_path / "selkd-gone"), "processes": []}
    head.write_json(folder / head.STATE, state | {"processes": [{"pid": stranger.pid, "born": born}]})
    found = head.Head.of(workspace)
    assert found
    assert not found.alive
    assert head.down(workspace)
    assert stranger.is_running()
    assert head.Head.of(workspace) is None
    assert not head.down(workspace)


def test_the_token_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "token"
    head._write_token(path)
    first = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(first) == 64
    head._write_token(path)
    assert path.read_text() != first


@pytest.mark.slow
def test_it_asks_for_its_token_on_the_loopback_interface(cluster: head.Head) -> None:
    assert cluster.alive
    url = f"{cluster.address}/api/jobs/"
    assert requests.get(url, timeout=30).status_code == 401
    assert requests.get(url, headers={"Authorization": "Bearer wrong"}, timeout=30).status_code == 403
    headers = {"Authorization": f"Bearer {cluster.token.read_text()}"}
    assert requests.get(url, headers=headers, timeout=30).ok
    port = int(cluster.address.rpartition(":")[2])
    open_ports = [found.laddr for found in psutil.net_connections() if found.status == "LISTEN" and found.laddr]
    assert [address.ip for address in open_ports if address.port == port] == ["127.0.0.1"]


@pytest.mark.slow
def test_probes_of_the_manifests_need_no_token(cluster: head.Head) -> None:
    assert requests.get(f"{cluster.address}/api/gcs_healthz", timeout=30).text == "success"


@pytest.mark.slow
def test_up_twice_is_one_head_and_down_ends_all_of_it(
    tmp_path: Path, stranger: psutil.Process, cluster: head.Head
) -> None:
    """Beside another head, which stays."""
    workspace = Workspace(tmp_path)
    first = head.up(workspace, cpus=1)
    try:
        assert head.up(workspace, cpus=1) == first
        assert first.address != cluster.address
        ours = [process for one in first.processes if (process := one.found())]
        everything = [child for process in ours for child in [process, *process.children(recursive=True)]]
    finally:
        assert head.down(workspace)
    assert len(everything) >= 5
    assert not any(Recorded.of(process).found() for process in everything if process.is_running())
    assert not first.temporary.exists()
    assert not first.token.exists()
    assert stranger.is_running()
    assert cluster.alive
