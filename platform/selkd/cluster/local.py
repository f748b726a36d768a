"""Jobs as processes of their own on this machine: for debugging, and for people without a cluster."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import psutil

from selkd.cluster.entry import GRACE
from selkd.cluster.job import Job
from selkd.cluster.orders import order_of, variables_of
from selkd.cluster.places import log_of
from selkd.cluster.processes import Recorded, end, tree
from selkd.cluster.room import Node, refuse_without_room
from selkd.cluster.states import State
from selkd.cluster.tree import Tree
from selkd.config import Workspace
from selkd.errors import UserError
from selkd.files import read_json, write_json

PROCESS = "process.json"
OUTCOME = "outcome.json"
PAUSE = 0.2


class Local:
    """One process a job; its folder holds its number, its output and how it ended."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def check(self, job: Job, tree: Tree | None) -> list[str]:
        refuse_without_room(job, [_machine(any(nodes.gpus for nodes in job.resources.values()))], "this machine")
        for name, secret in job.environment.secrets.items():
            if secret.env and secret.env not in os.environ:
                raise UserError(f"environment.secrets.{name}: the variable {secret.env} is not set.")
            if secret.file and not secret.file.is_file():
                raise UserError(f"environment.secrets.{name}: {secret.file} is no file.")
        return []

    def submit(self, id: str, job: Job, tree: Tree | None) -> None:
        folder = self._folder(id)
        if (folder / PROCESS).exists():
            return
        folder.mkdir(parents=True, exist_ok=True)
        source = tree.root / tree.import_path if tree and tree.import_path else None
        variables = variables_of(job, job.storage.workspace or self.workspace.root, source and str(source))
        order = order_of(job, sys.executable, folder / OUTCOME)
        with log_of(folder).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "selkd.cluster.entry", order.text],
                cwd=tree.root if tree else None,
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        threading.Thread(target=process.wait, daemon=True).start()  # it may outlive us, and is no zombie while we live
        write_json(folder / PROCESS, asdict(Recorded.of(psutil.Process(process.pid))))

    def state(self, id: str) -> State:
        folder = self._folder(id)
        if not (folder / PROCESS).exists():
            return State("lost", reason="it was never started")
        running = Recorded(**read_json(folder / PROCESS)).found()  # looked at first: its last act is the outcome
        if (folder / OUTCOME).exists():
            return State(**read_json(folder / OUTCOME))
        return State("running") if running else State("lost", reason="its process was killed")

    def logs(self, id: str, follow: bool) -> Iterator[str]:
        log = log_of(self._folder(id))
        if not log.exists():
            return
        with log.open(errors="replace") as file:
            while True:
                ended = not follow or self.state(id).ended
                yield from iter(file.readline, "")
                if ended:
                    return
                time.sleep(PAUSE)

    def stop(self, id: str) -> None:
        """The entry and its command are told; what they started is theirs to end, and ours when they do not."""
        record = self._folder(id) / PROCESS
        entry = Recorded(**read_json(record)).found() if record.exists() else None
        if entry is None:
            return
        everything = tree(entry)
        end([entry, *(process for process in everything[1:] if process.ppid() == entry.pid)], GRACE)
        end(psutil.wait_procs(everything, timeout=1)[1], 2)

    def _folder(self, id: str) -> Path:
        return self.workspace.jobs / id


def _machine(count_gpus: bool) -> Node:
    """This machine as a node."""
    gpus = 0
    if count_gpus:
        import torch

        gpus = torch.cuda.device_count()
    has = {"CPU": float(os.cpu_count() or 1), "GPU": float(gpus), "memory": float(psutil.virtual_memory().total)}
    return Node("this machine", has)
