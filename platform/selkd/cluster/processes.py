"""Processes that are certainly ours: a number alone may belong to somebody else by now."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Recorded:
    """A process by number and time of birth."""

    pid: int
    born: float

    @classmethod
    def of(cls, process: psutil.Process) -> "Recorded":
        return cls(process.pid, process.create_time())

    def found(self) -> psutil.Process | None:
        """The process, unless it ended."""
        try:
            process = psutil.Process(self.pid)
            alive = process.create_time() == self.born and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if alive else None


def tree(process: psutil.Process) -> list[psutil.Process]:
    """The process and all that it started, as far as they are alive."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def end(processes: Iterable[psutil.Process], grace: float) -> None:
    """SIGTERM, and SIGKILL for those that are still there after `grace` seconds."""
    processes = list(processes)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=grace)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=5)
