"""How a job stands: the same words and exit codes wherever it runs."""

from typing import Literal, NamedTuple

Status = Literal["waiting", "running", "succeeded", "failed", "stopped", "lost"]

PASSED_DEADLINE = 124  # as coreutils' timeout has it
STOPPED = 143  # as a shell has it after SIGTERM


class State(NamedTuple):
    """waiting: not begun. lost: it was submitted, and nobody there knows it any more."""

    status: Status
    code: int | None = None
    reason: str = ""

    @property
    def ended(self) -> bool:
        return self.status not in ("waiting", "running")

    @property
    def exit_code(self) -> int:
        """What `selkd jobs wait` exits with."""
        if self.code is not None:
            return self.code
        return {"succeeded": 0, "stopped": STOPPED}.get(self.status, 1)
