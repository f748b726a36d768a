"""The record of one trial: its ledger, and the files beside it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from selkd.files import checksum, write_bytes
from selkd.tracking.ledger import Event, Ledger

if TYPE_CHECKING:
    import pandas as pd

LEDGER = "ledger.jsonl"
CONFIG = "config.yaml"
End = Literal["finished", "failed", "stopped", "pruned"]  # stopped: it may go on; pruned: not worth it
Status = Literal["running"] | End


class TrialRecord:
    """What is known of a trial, read from its ledger and added to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = Ledger(folder / LEDGER)
        self._points = {(name, e["step"]) for e in self._of("log") for name in e["metrics"]}

    def begin(
        self, key: str, name: str, config: dict[str, Any], tags: dict[str, str], provenance: dict[str, Any]
    ) -> None:
        """Begin the trial, or say that it goes on."""
        self.ledger.append("begin", key=key, name=name, config=config, tags=tags, provenance=provenance)
        path = self.folder / CONFIG
        write_bytes(path, yaml.safe_dump(self.config, sort_keys=False, allow_unicode=True).encode())
        self.artifact(path)

    def log(self, step: int, metrics: dict[str, float], steps: int | None = None) -> None:
        """Metrics of a step out of `steps`, where that is known; a name that this step already has is left as it is."""
        new = {name: float(value) for name, value in metrics.items() if (name, step) not in self._points}
        if new:
            self.ledger.append("log", step=step, steps=steps, metrics=new)
            self._points |= {(name, step) for name in new}

    def artifact(self, path: Path, folder: str = "") -> None:
        """A file below the trial's folder that belongs to the record; `folder` is where MLflow shows it."""
        name, content = path.relative_to(self.folder).as_posix(), checksum(path)
        known = {(e["path"], e["folder"]): e["sha256"] for e in self._of("artifact")}
        if known.get((name, folder)) != content:
            self.ledger.append("artifact", path=name, folder=folder, sha256=content, bytes=path.stat().st_size)

    def count_test_read(self) -> None:
        """Say that the test split is read once more."""
        self.ledger.append("test-read", count=self.test_reads + 1)

    def finish(self, status: End, metrics: dict[str, float], reason: str | None, late: bool = False) -> None:
        """The end of the trial, with what the student scores or why there is none.

        `late`: somebody else says it, after nobody had been training for a while.
        """
        values = {name: float(value) for name, value in metrics.items()}
        self.ledger.append("finish", status=status, metrics=values, reason=reason, late=late)

    @property
    def status(self) -> Status | None:
        """How the trial stands; nothing when it never began."""
        turns = self._of("begin", "finish")
        return turns[-1].get("status", "running") if turns else None

    @property
    def config(self) -> dict[str, Any]:
        return self._of("begin")[-1]["config"]

    @property
    def metrics(self) -> dict[str, float]:
        """Final metrics; empty when the trial did not finish."""
        ends = self._of("finish")
        return {name: float(value) for name, value in ends[-1]["metrics"].items()} if ends else {}

    @property
    def test_reads(self) -> int:
        return len(self._of("test-read"))

    @property
    def progress(self) -> tuple[int, int]:
        """The last step logged, and how many there will be; zero where that is unknown."""
        logged = self._of("log")
        return (logged[-1]["step"], logged[-1].get("steps") or 0) if logged else (0, 0)

    @property
    def seconds(self) -> float:
        """How long the trial was worked on, over all its turns, as far as the record says."""
        total, began, last = 0, 0, 0
        for event in self.ledger.events():
            if event.get("late"):
                continue
            if event["event"] == "begin":
                total, began = total + last - began, event["time"]
            last = event["time"] if began else 0
        return (total + last - began) / 1000

    def history(self) -> "pd.DataFrame":
        """Metrics by step: a row a step, a column a name."""
        import pandas as pd  # half a second, which whoever only writes records need not wait for

        rows: dict[int, dict[str, float]] = {}
        for event in self._of("log"):
            rows.setdefault(event["step"], {}).update({k: float(v) for k, v in event["metrics"].items()})
        return pd.DataFrame.from_dict(rows, orient="index", dtype=float).sort_index().rename_axis("step")

    def _of(self, *kinds: str) -> list[Event]:
        return [event for event in self.ledger.events() if event["event"] in kinds]
