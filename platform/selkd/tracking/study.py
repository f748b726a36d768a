"""The record of one study: its ledger, and the search space beside it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml

from selkd.files import checksum, write_bytes
from selkd.tracking.ledger import Event, Ledger
from selkd.tracking.record import LEDGER, End

SPACE = "space.yaml"
IDLE = ("concurrent:", "description:", "figures:", "base.workers.")
"""Differences of two spaces that change nothing about what is compared."""
Verdict = Literal["complete", "pruned", "failed"]


class StudyRecord:
    """Writes down what a study does, one event at a time: the truth from which everything else is made again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = Ledger(folder / LEDGER)

    def begin(self, name: str, space: Mapping[str, Any], provenance: Mapping[str, Any]) -> None:
        """The study begins with this resolved search space."""
        tags = {"selkd.kind": "study", "selkd.study": name, "mlflow.note.content": space.get("description") or ""}
        tags |= _question(space)
        self.ledger.append(
            "study",
            key=f"study {name}",
            name=f"study {name}",
            space=dict(space),
            tags=tags,
            provenance=dict(provenance),
        )
        self._keep(space)

    def change(self, space: Mapping[str, Any], difference: Sequence[str]) -> None:
        """The search space is another one from here on; a comparison is declared before the first candidate."""
        tags = _question(space)
        if any(event["event"] == "candidate" for event in self.ledger.events()):
            del tags["selkd.comparison"]
            if not all(line.startswith(IDLE) for line in difference):
                tags["selkd.changed"] = "true"
        self.ledger.append("change", space=dict(space), difference=list(difference), tags=tags)
        self._keep(space)

    def _keep(self, space: Mapping[str, Any]) -> None:
        path = self.folder / SPACE
        write_bytes(path, yaml.safe_dump(dict(space), sort_keys=False, allow_unicode=True).encode())
        self.ledger.append("artifact", path=SPACE, folder="", sha256=checksum(path), bytes=path.stat().st_size)

    def start(self, pid: int, host: str, concurrent: int) -> Event:
        """A driver takes the study up."""
        return self.ledger.append("start", pid=pid, host=host, concurrent=concurrent)

    def propose(self, number: int, parameters: Mapping[str, Any], trials: Sequence[Mapping[str, Any]]) -> Event:
        """A candidate and its trials: `key`, `seed` and `role` of each."""
        return self.ledger.append(
            "candidate", number=number, parameters=dict(parameters), trials=[dict(trial) for trial in trials]
        )

    def extend(self, number: int, trials: Sequence[Mapping[str, Any]]) -> Event:
        """A candidate that was told gets more seeds; `trials` are all that it has then."""
        return self.ledger.append("extend", number=number, trials=[dict(trial) for trial in trials])

    def launch(self, key: str) -> Event:
        """A trial is given to Ray."""
        return self.ledger.append("launch", key=key)

    def miss(self) -> Event:
        """The last driver ended without a word; nobody knows when."""
        return self.ledger.append("missed")

    def lose(self, key: str, reason: str, epoch: int, step: int) -> Event:
        """A trial's process died after `epoch`, and goes on from `step`; it may be tried again."""
        return self.ledger.append("lost", key=key, reason=reason, epoch=epoch, step=step)

    def report(self, key: str, share: float, value: float, reason: str | None) -> Event:
        """What a student reached at a share of its training, and why it is stopped there, if it is."""
        return self.ledger.append("report", key=key, share=share, value=value, reason=reason)

    def end_trial(
        self, key: str, status: End, metrics: Mapping[str, float], reason: str | None, seconds: float
    ) -> Event:
        """How a trial ended; each is said to have ended once."""
        return self.ledger.append(
            "trial", key=key, status=status, metrics=dict(metrics), reason=reason, seconds=seconds
        )

    def tell(
        self,
        number: int,
        verdict: Verdict,
        values: Mapping[str, float],
        constraints: Sequence[float],
        reason: str | None,
    ) -> Event:
        """What the sampler is told of a candidate: the means over its seeds, by metric."""
        return self.ledger.append(
            "told", number=number, verdict=verdict, values=dict(values), constraints=list(constraints), reason=reason
        )

    def stop(self, finished: bool, reason: str) -> Event:
        """No driver works on the study any more."""
        return self.ledger.append("stop", finished=finished, reason=reason)


def _question(space: Mapping[str, Any]) -> dict[str, str]:
    """What a study asks, as tags: what it judges by, what it varies, and the comparison declared beforehand."""
    said = {
        "metrics": space.get("metrics", {}),
        "searched": list(space.get("search", {})),
        "comparison": space.get("comparison"),
    }
    return {f"selkd.{name}": json.dumps(value, ensure_ascii=False) for name, value in said.items()}
