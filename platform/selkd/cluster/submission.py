"""Submit jobs, and look after what was submitted: the same for every place."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from selkd.cluster.job import Job
from selkd.cluster.places import Place, place_of
from selkd.cluster.record import LEDGER, JobRecord
from selkd.cluster.states import State
from selkd.cluster.tree import Tree, megabytes
from selkd.config import Workspace
from selkd.errors import UserError, nearest
from selkd.files import holding

PATIENCE = 60.0
PAUSE = 0.5
FILES = (".yaml", ".yml")
LARGEST_MAP = 10**6
"""Bytes of files that Kubernetes takes to pods, a little less than it would."""


@dataclass(frozen=True)
class Submission:
    """A job that was submitted from this workspace."""

    id: str
    workspace: Workspace
    warnings: tuple[str, ...] = ()
    is_new: bool = False
    """Whether this call submitted it; otherwise it had been submitted before."""

    @cached_property
    def record(self) -> JobRecord:
        return JobRecord(self.workspace.jobs / self.id)

    @property
    def job(self) -> Job:
        job = self.record.job
        assert job is not None, "a submission has a described job"
        return job

    @cached_property
    def place(self) -> Place:
        return place_of(self.job, self.workspace)

    def state(self) -> State:
        """How it stands; a place is asked until it tells of the end."""
        if self.record.ended:
            return self.record.ended
        if not self.record.is_submitted:
            return State("lost", reason="it was interrupted while being submitted; submit it again")
        found = self.place.state(self.id)
        if found.status == "lost" and self.record.is_stopping:
            found = State("stopped", reason="stopped on request")
        if found.ended and found.status != "lost":
            self.record.end(found)
        return found

    def wait(self, seconds: float | None = None) -> State:
        """Its state when it has ended, or after so many seconds."""
        until = None if seconds is None else time.monotonic() + seconds
        while not (state := self.state()).ended and (until is None or time.monotonic() < until):
            time.sleep(PAUSE)
        return state

    def logs(self, follow: bool = False) -> Iterator[str]:
        """What it printed so far, in pieces; with `follow`, until it ended."""
        return self.place.logs(self.id, follow)

    def stop(self) -> State:
        """End it, in good order where it can."""
        if not self.state().ended:
            self.record.stopping()
            self.place.stop(self.id)
        return self.wait(PATIENCE)

    def resubmit(self) -> "Submission":
        """Run it again under a number of its own, when it has ended."""
        if not self.state().ended:
            raise UserError(f"{self.id}: it has not ended. Stop it first: selkd jobs stop {self.id}")
        tree, before = tree_of(self.job), self.record.about["tree"]
        if (tree and tree.fingerprint) != before:
            raise UserError(
                f"{self.id}: the working tree changed since. Submit its file: on another tree it is another job."
            )
        first = self.job.id(before)
        used = [name for name in _names(self.workspace) if name == first or name.startswith(f"{first}-")]
        return _submitted(f"{first}-{len(used) + 1}", self.job, tree, self.workspace)

    def described(self) -> dict[str, Any]:
        """For machines, and for a table."""
        state, about = self.state(), self.record.about
        return {
            "id": self.id,
            "name": self.job.name,
            "what": self.job.what,
            "where": str(self.job.where),
            "kind": self.job.where.kind,
            "status": state.status,
            "exit_code": state.exit_code if state.ended else None,
            "reason": state.reason,
            "submitted": about["time"] and datetime.fromtimestamp(about["time"] / 1000, UTC).isoformat(),
            "files": about["files"],
            "bytes": about["bytes"],
            "warnings": list(self.warnings),
        }


def submit(job: Job | Mapping[str, Any] | str | Path, workspace: Workspace | None = None) -> Submission:
    """Submit a job, after checking it against its place. The same job on the same tree is submitted once."""
    job, workspace = Job.of(job), workspace or Workspace.default()
    tree = tree_of(job)
    first = job.id(tree and tree.fingerprint)
    again = sorted((name for name in _names(workspace) if name.startswith(f"{first}-")), key=len)
    return _submitted(again[-1] if again else first, job, tree, workspace)


def submissions(workspace: Workspace | None = None) -> list[Submission]:
    """What was submitted from this workspace, the newest first."""
    workspace = workspace or Workspace.default()
    found = [Submission(name, workspace) for name in _names(workspace)]
    return sorted(found, key=lambda one: one.record.about["time"] or 0, reverse=True)


def find(name: str, workspace: Workspace | None = None) -> Submission:
    """By its id, or the newest of a name."""
    workspace = workspace or Workspace.default()
    if name in _names(workspace):
        return Submission(name, workspace)
    found = submissions(workspace)
    for one in found:
        if one.job.name == name:
            return one
    known = [one.job.name for one in found] + [one.id for one in found]
    raise UserError(f"no job {name!r} in {workspace.jobs}. {nearest(name, known)}")


def tree_of(job: Job) -> Tree | None:
    """What goes where the job runs: the working tree, or the files that the command names where an image runs.

    Every file that the command names must be in it.
    """
    words = [word for word in job.what if word.endswith(FILES) and "=" not in word]
    if job.where.kind == "kuberay":
        return _named([word for word in words if not Path(word).is_absolute()], job)
    if not job.ships:
        return None
    tree = Tree.of(job.environment.tree)
    for word in words:
        if word not in tree.files:
            _refuse_absent(word, tree, job)
    return tree


def _named(words: list[str], job: Job) -> Tree | None:
    """Files that a ConfigMap brings to pods; absolute names are what the pods have themselves."""
    if not words:
        return None
    tree = Tree.named(job.environment.tree, words)
    for word in words:
        if word not in tree.files:
            _refuse_absent(word, tree, job)
    if job.kubernetes.cluster:
        raise UserError(
            f"what: {words[0]} is on this machine, and pods of the cluster {job.kubernetes.cluster!r} run already. "
            "Copy it to the workspace and name it as they see it, or leave kubernetes.cluster out."
        )
    if tree.bytes > LARGEST_MAP:
        raise UserError(
            f"what: {', '.join(words)} hold {megabytes(tree.bytes)}; Kubernetes brings at most 1 MiB to pods."
        )
    return tree


def _refuse_absent(word: str, tree: Tree, job: Job) -> None:
    """A file that the job names and would not find."""
    path = tree.root / word
    if job.where.kind == "local" and path.is_file():
        return
    why = "is left out by .gitignore or .selkdignore" if path.is_file() else "is not there"
    if Path(word).is_absolute():
        why = "is on this machine only: name it as seen from the tree"
    raise UserError(f"what: {word} {why}, in the working tree {tree.root}. {nearest(word, tree.files)}")


def _submitted(id: str, job: Job, tree: Tree | None, workspace: Workspace) -> Submission:
    """Described, checked, handed over; where an earlier call was interrupted, from there on."""
    record = JobRecord(workspace.jobs / id)
    with holding(record.folder.with_suffix(".lock"), PATIENCE, f"{id}: somebody else submits it now."):
        if record.is_submitted:
            return Submission(id, workspace)
        place = place_of(job, workspace)
        warnings = place.check(job, tree)
        if record.job is None:
            record.describe(job, tree and tree.fingerprint, len(tree.files) if tree else 0, tree.bytes if tree else 0)
        place.submit(id, job, tree)
        record.submitted()
        if tree and tree.outside and job.where.kind != "local":
            warnings.append(f"not shipped, since they lead out of {tree.root}: {', '.join(tree.outside)}")
    return Submission(id, workspace, tuple(warnings), is_new=True)


def _names(workspace: Workspace) -> list[str]:
    return sorted(path.parent.name for path in workspace.jobs.glob(f"*/{LEDGER}"))
