"""What runs a job's command, there where the job runs: secrets, retries, deadline. The standard library alone.

`python -m selkd.cluster.entry ORDER`, where ORDER is JSON. It names secrets and never holds one: others can read it in
the process list. What the command prints is passed on with the values of its secrets blotted out.
"""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

from selkd.cluster.states import PASSED_DEADLINE, STOPPED

USERS_MISTAKE = 2  # trying again would not help
GRACE = 30.0
"""Seconds in which a command that is told to end may end its epoch."""
PAUSES = (1.0, 5.0, 15.0, 60.0)
BLOT = b"***"
SHORTEST = 4  # a shorter value would blot out ordinary words


@dataclass(frozen=True)
class Order:
    """What is to be run."""

    command: list[str]
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    retries: int = 0
    seconds: float | None = None
    outcome: str | None = None
    """File that is to say how it ended, where nobody else takes note of exit codes."""

    @property
    def text(self) -> str:
        return json.dumps(asdict(self))


class Entry:
    """One job at work."""

    def __init__(self, order: Order, out: IO[bytes], pauses: Sequence[float] = PAUSES) -> None:
        self.order, self.out, self.pauses = order, out, pauses
        self.ends_at = time.monotonic() + order.seconds if order.seconds else None
        self.stopping = threading.Event()

    def run(self) -> tuple[str, int, str]:
        """How it ended, its exit code, and why."""
        try:
            secrets = {name: _value(name, reference) for name, reference in self.order.secrets.items()}
        except ValueError as error:
            self.say(str(error))
            return "failed", USERS_MISTAKE, str(error)
        with self._signals():
            for attempt in itertools.count(1):
                code = self._once(secrets)
                if code == 0:
                    return "succeeded", 0, ""
                if self.stopping.is_set():
                    return "stopped", STOPPED, "stopped on request"
                if self._left() == 0:
                    return "failed", PASSED_DEADLINE, f"its deadline of {self.order.seconds:g} s passed"
                if code == USERS_MISTAKE or attempt > self.order.retries:
                    return "failed", code, f"exit code {code}"
                self.say(f"attempt {attempt} of {self.order.retries + 1} ended with exit code {code}; trying again")
                self.stopping.wait(self.pauses[min(attempt, len(self.pauses)) - 1])
        raise AssertionError("an attempt is the last one")

    def say(self, line: str) -> None:
        self.out.write(f"selkd: {line}\n".encode())
        self.out.flush()

    def _once(self, secrets: Mapping[str, str]) -> int:
        """Run the command to its end, or to the deadline's. A stop is sent to it by whoever sent it to us."""
        if self.stopping.is_set() or self._left() == 0:
            return STOPPED
        process = subprocess.Popen(
            self.order.command,
            env={**os.environ, **secrets},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
        hidden = [value.encode() for value in secrets.values() if len(value) >= SHORTEST]
        reader = threading.Thread(target=self._pass_on, args=(process.stdout, hidden), daemon=True)
        reader.start()
        try:
            code = process.wait(self._left())
        except subprocess.TimeoutExpired:
            self.say("the deadline passed")
            process.terminate()
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            code = PASSED_DEADLINE
        reader.join(timeout=2)  # what the command left behind may hold its output open
        return code if code >= 0 else 128 - code

    def _pass_on(self, printed: IO[bytes], hidden: Sequence[bytes]) -> None:
        with printed:
            for line in printed:
                for value in hidden:
                    line = line.replace(value, BLOT)  # noqa: PLW2901
                self.out.write(line)
                self.out.flush()

    def _left(self) -> float | None:
        return None if self.ends_at is None else max(0.0, self.ends_at - time.monotonic())

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Note a stop, and let the command be the one that ends."""

        def note(number: int, frame: FrameType | None) -> None:
            self.stopping.set()

        before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _value(name: str, reference: Mapping[str, str]) -> str:
    """The secret that a reference names, on this machine."""
    if variable := reference.get("env"):
        if variable not in os.environ:
            raise ValueError(f"environment.secrets.{name}: the variable {variable} is not set where the job runs.")
        return os.environ[variable]
    try:
        return Path(reference["file"]).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"environment.secrets.{name}: {reference['file']} cannot be read ({error}).") from None


def main() -> int:
    order = Order(**json.loads(sys.argv[1]))
    status, code, reason = Entry(order, sys.stdout.buffer).run()
    if order.outcome:
        part = Path(f"{order.outcome}.part")
        part.write_text(json.dumps({"status": status, "code": code, "reason": reason}))
        part.replace(order.outcome)
    return code


if __name__ == "__main__":
    sys.exit(main())
