"""A Ray cluster of one node on this machine, for people who have none: token, dashboard, loopback."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import requests

from selkd.cluster.processes import Recorded, end, tree
from selkd.config import Workspace
from selkd.errors import UserError
from selkd.files import holding, read_json, write_json

FOLDER, STATE, TOKEN, LOG = "cluster", "head.json", "token", "start.log"
LOOPBACK = "127.0.0.1"
PORTS = (
    "port",
    "ray-client-server-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "metrics-export-port",
)
"""Ports of which Ray's defaults would meet those of another cluster on this machine."""
PATIENCE = 90.0
GRACE = 5.0


@dataclass(frozen=True)
class Head:
    """A head that was started from a workspace."""

    folder: Path
    address: str
    temporary: Path
    processes: tuple[Recorded, ...]

    @classmethod
    def of(cls, workspace: Workspace) -> "Head | None":
        """The head that the workspace's records tell of, alive or not."""
        folder = workspace.root / FOLDER
        if not (folder / STATE).exists():
            return None
        found = read_json(folder / STATE)
        processes = tuple(Recorded(**one) for one in found["processes"])
        return cls(folder, found["address"], Path(found["temporary"]), processes)

    @property
    def token(self) -> Path:
        return self.folder / TOKEN

    @property
    def alive(self) -> bool:
        """Whether every process that it began with is still there."""
        return bool(self.processes) and all(process.found() for process in self.processes)


def up(workspace: Workspace, cpus: int | None = None, port: int | None = None) -> Head:
    """Start a head, unless the workspace has one that is alive."""
    folder = workspace.root / FOLDER
    with holding(folder / ".lock", PATIENCE, "somebody else starts or ends the cluster of this workspace now."):
        before = Head.of(workspace)
        if before and before.alive:
            return before
        if before:
            _remove(before)
        return _start(folder, cpus or os.cpu_count() or 1, port)


def down(workspace: Workspace) -> bool:
    """End the workspace's head and all that runs on it, and nothing else; whether there was one."""
    folder = workspace.root / FOLDER
    with holding(folder / ".lock", PATIENCE, "somebody else starts or ends the cluster of this workspace now."):
        head = Head.of(workspace)
        if head:
            _remove(head)
    return head is not None


def _start(folder: Path, cpus: int, port: int | None) -> Head:
    _write_token(folder / TOKEN)
    temporary = Path(tempfile.mkdtemp(prefix="selkd-", dir="/tmp"))  # short: Ray's sockets have 107 characters
    dashboard, *others = _free_ports(1 + len(PORTS))
    address = f"http://{LOOPBACK}:{port or dashboard}"
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "start", "--head", f"--num-cpus={cpus}", "--disable-usage-stats",
        "--include-dashboard=true", f"--dashboard-host={LOOPBACK}", f"--dashboard-port={port or dashboard}",
        f"--temp-dir={temporary}",
        *(f"--{name}={number}" for name, number in zip(PORTS, others, strict=True)),
    ]  # fmt: skip
    state = {"address": address, "temporary": str(temporary), "processes": []}
    write_json(folder / STATE, state)  # so that `down` finds what a start leaves behind that is interrupted
    with (folder / LOG).open("wb") as log:
        started = subprocess.run(
            command, env=_environment(folder / TOKEN), stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False
        )
    state["processes"] = [asdict(one) for one in _of(temporary)]
    write_json(folder / STATE, state)
    head = Head(folder, address, temporary, tuple(_of(temporary)))
    if started.returncode or not _within(PATIENCE, lambda: _answers(head)):
        said = (folder / LOG).read_text(errors="replace").strip().splitlines()
        _remove(head)
        raise UserError(
            f"Ray's head did not start: {said[-1] if said else 'it said nothing'}. All of it: {folder / LOG}"
        )
    return head


def _remove(head: Head) -> None:
    """End the head's processes and what they started, by number and time of birth, and forget it."""
    recorded = {*head.processes, *_of(head.temporary)}
    roots = [process for one in recorded if (process := one.found())]
    end({process for root in roots for process in tree(root)}, GRACE)
    shutil.rmtree(head.temporary, ignore_errors=True)
    for name in (STATE, TOKEN):
        (head.folder / name).unlink(missing_ok=True)


def _of(temporary: Path) -> list[Recorded]:
    """Processes that were started with this temporary folder, whose name is of this head alone."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(temporary) in word for word in process.cmdline()):
                found.append(Recorded.of(process))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def _write_token(path: Path) -> None:
    """A new token that only its owner reads; Ray's own file would be everybody's."""
    path.unlink(missing_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w") as opened:
        opened.write(secrets.token_hex(32))


def _environment(token: Path) -> dict[str, str]:
    """Of the head and of all jobs on it: the token by its file, and the Python that started it."""
    kept = {name: value for name, value in os.environ.items() if name not in ("RAY_AUTH_TOKEN", "RAY_ADDRESS")}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
    return {
        **kept,
        "PATH": path,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def _answers(head: Head) -> bool:
    headers = {"Authorization": f"Bearer {head.token.read_text()}"}
    try:
        return requests.get(f"{head.address}/api/jobs/", headers=headers, timeout=5).ok
    except requests.RequestException:
        return False


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < until:
        time.sleep(0.2)
    return met


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return [one.getsockname()[1] for one in sockets]
