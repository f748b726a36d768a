"""The one interface of everything that runs jobs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from selkd.cluster.job import Job
from selkd.cluster.states import State
from selkd.cluster.tree import Tree
from selkd.config import Workspace


class Place(Protocol):
    """Where jobs run. A job has the same id everywhere; what is asked twice is done once."""

    def check(self, job: Job, tree: Tree | None) -> list[str]:
        """Refuse what could never run here; return what should be known, a line each."""
        ...

    def submit(self, id: str, job: Job, tree: Tree | None) -> None:
        """Hand the job over, unless the place has it already."""
        ...

    def state(self, id: str) -> State:
        """How it stands."""
        ...

    def logs(self, id: str, follow: bool) -> Iterator[str]:
        """What it printed, in pieces; with `follow`, until it ended."""
        ...

    def stop(self, id: str) -> None:
        """Let it end in good order, and make it end when it does not."""
        ...


def place_of(job: Job, workspace: Workspace) -> Place:
    """Who runs the job."""
    if job.where.kind == "ray":
        from selkd.cluster.ray_jobs import RayJobs

        return RayJobs(job.where.address or "", workspace)
    if job.where.kind == "kuberay":
        from selkd.cluster.kuberay import KubeRay

        return KubeRay(job.kubernetes, workspace)
    from selkd.cluster.local import Local

    return Local(workspace)


def log_of(folder: Path) -> Path:
    return folder / "log.txt"
