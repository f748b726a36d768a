"""Jobs on a Ray cluster, through its job submission client."""

import asyncio
import contextlib
import logging
import os
import shlex
import tempfile
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from selkd.cluster.access import OPEN, PATIENCE, headers_of, is_open, token_of
from selkd.cluster.entry import GRACE
from selkd.cluster.job import Job
from selkd.cluster.orders import order_of, variables_of
from selkd.cluster.room import Node, refuse_without_room
from selkd.cluster.states import State, Status
from selkd.cluster.tree import Tree
from selkd.config import Workspace
from selkd.errors import UserError

STATUSES: dict[str, Status] = {
    "PENDING": "waiting",
    "RUNNING": "running",
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "STOPPED": "stopped",
}
OVERRIDING = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
"""Variables that Ray's client prefers to the address it is given."""
TALKATIVE = ("ray", "ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk")
"""Loggers of the client whose lines would stand among a job's own."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
UNKNOWN = "does not exist"
DELAY = 5.0  # seconds over a command's own grace, before Ray kills it


class RayJobs:
    """One submission a job, under the job's id."""

    def __init__(self, address: str, workspace: Workspace) -> None:
        self.address, self.workspace = address, workspace

    def check(self, job: Job, tree: Tree | None) -> list[str]:
        if job.storage.workspace is None and urlsplit(self.address).hostname not in LOOPBACK:
            raise UserError(
                "storage.workspace: missing. The nodes of a cluster share no folder of this machine; name one that all "
                "of them mount, such as /mnt/selkd."
            )
        opened = is_open(self.address)
        refuse_without_room(job, self.nodes(), f"the cluster at {self.address}")
        return [OPEN.format(address=self.address)] if opened else []

    def nodes(self) -> list[Node]:
        """The nodes that are alive, with all they have."""
        url = f"{self.address}/api/v0/nodes?detail=true&limit=10000"
        answer = requests.get(url, headers=self._headers, timeout=PATIENCE)
        if answer.status_code in (401, 403):
            raise UserError(self._locked())
        answer.raise_for_status()
        rows = answer.json()["data"]["result"]["result"]
        return [
            Node(row["node_id"], row["resources_total"] or {}, row.get("labels") or {})
            for row in rows
            if row["state"] == "ALIVE"
        ]

    def submit(self, id: str, job: Job, tree: Tree | None) -> None:
        with self._asked() as client:
            if self._info(client, id) is not None:
                return
            workspace = job.storage.workspace or self.workspace.root
            variables = variables_of(job, workspace, tree and tree.import_path)
            environment: dict[str, Any] = {
                "env_vars": {**variables, "RAY_JOB_STOP_WAIT_TIME_S": f"{GRACE + DELAY:.0f}"}
            }
            with tempfile.TemporaryDirectory() as folder:
                if tree:
                    package = Path(folder) / "tree.zip"
                    tree.pack(package)
                    environment["working_dir"] = str(package)
                client.submit_job(
                    entrypoint=f"python -m selkd.cluster.entry {shlex.quote(order_of(job, 'python').text)}",
                    submission_id=id,
                    runtime_env=environment,
                    metadata={"selkd": job.name},
                    entrypoint_num_cpus=job.driver.cpus or None,
                    entrypoint_num_gpus=job.driver.gpus or None,
                )

    def state(self, id: str) -> State:
        with self._asked() as client:
            info = self._info(client, id)
        if info is None:
            return State("lost", reason=f"{self.address} does not know it: the cluster was started anew")
        status = STATUSES[str(info.status)]
        reason = (info.message or "").splitlines()[0] if status in ("waiting", "failed") and info.message else ""
        return State(status, info.driver_exit_code, reason)

    def logs(self, id: str, follow: bool) -> Iterator[str]:
        with self._asked() as client:
            if not follow:
                yield client.get_job_logs(id)
                return
            while self._info(client, id) is not None and self.state(id).status == "waiting":
                time.sleep(0.5)
            pieces = client.tail_job_logs(id)
            with contextlib.closing(asyncio.new_event_loop()) as loop, contextlib.suppress(StopAsyncIteration):
                while True:
                    yield loop.run_until_complete(anext(pieces))

    def stop(self, id: str) -> None:
        with self._asked() as client:
            if self._info(client, id) is not None:
                client.stop_job(id)

    def _info(self, client: Any, id: str) -> Any:
        """What the cluster knows of a job; nothing when it does not know it."""
        try:
            return client.get_job_info(id)
        except RuntimeError as error:
            if UNKNOWN in str(error):
                return None
            raise

    @contextlib.contextmanager
    def _asked(self) -> Iterator[Any]:
        """Ray's client, and its errors as ours."""
        from ray.exceptions import AuthenticationError

        try:
            yield self._client
        except AuthenticationError:
            raise UserError(self._locked()) from None
        except (requests.RequestException, ConnectionError, RuntimeError) as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise UserError(f"{self.address}: {lines[0]}") from None

    @cached_property
    def _client(self) -> Any:
        from ray.job_submission import JobSubmissionClient

        for talkative in TALKATIVE:
            logging.getLogger(talkative).setLevel(logging.WARNING)
        kept = {name: os.environ.pop(name) for name in OVERRIDING if name in os.environ}
        try:
            return JobSubmissionClient(self.address, headers=self._headers)
        finally:
            os.environ.update(kept)

    @cached_property
    def _headers(self) -> dict[str, str]:
        return headers_of(token_of(self.address, self.workspace))

    def _locked(self) -> str:
        said = "does not accept the token that was sent" if self._headers else "asks for a token"
        return (
            f"{self.address} {said}. Set RAY_AUTH_TOKEN_PATH to the file that holds the cluster's token (for that of "
            "`selkd cluster up`: `cluster/token` in the workspace that started it)."
        )
