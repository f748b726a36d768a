"""What is known of a submitted job on the machine that submitted it: a ledger a job, in the workspace."""

from pathlib import Path
from typing import Any

from selkd.cluster.job import Job
from selkd.cluster.states import State
from selkd.tracking.ledger import Event, Ledger

LEDGER = "ledger.jsonl"


class JobRecord:
    """The ledger of one job: described, submitted, asked to stop, ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = Ledger(folder / LEDGER)

    def describe(self, job: Job, tree: str | None, files: int, size: int) -> None:
        """What will be submitted. Secrets are references in it."""
        self.ledger.append("job", job=job.written(), tree=tree, files=files, bytes=size)

    def submitted(self) -> None:
        """The place has it."""
        self.ledger.append("submitted")

    def stopping(self) -> None:
        """Somebody asked for its end."""
        self.ledger.append("stopping")

    def end(self, state: State) -> None:
        """How it ended, so that nobody need be asked again."""
        self.ledger.append("end", **state._asdict())

    @property
    def job(self) -> Job | None:
        described = self._last("job")
        return Job.model_validate(described["job"]) if described else None

    @property
    def about(self) -> dict[str, Any]:
        """The tree's fingerprint, how much was shipped, and when it was described."""
        described = self._last("job") or {}
        return {key: described.get(key) for key in ("tree", "files", "bytes", "time")}

    @property
    def is_submitted(self) -> bool:
        return self._last("submitted") is not None

    @property
    def is_stopping(self) -> bool:
        return self._last("stopping") is not None

    @property
    def ended(self) -> State | None:
        found = self._last("end")
        return State(found["status"], found["code"], found["reason"]) if found else None

    def _last(self, kind: str) -> Event | None:
        return next((event for event in reversed(self.ledger.events()) if event["event"] == kind), None)
