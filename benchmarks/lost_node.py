"""How long until a student goes on whose node was lost, and that nothing of the study is lost or recorded twice.

Three nodes of one CPU are processes of this machine, and two students train at once: a third node is there to take
over. A node with a student on it is killed, one after another; its place is taken by a new one once the student goes
on. Timed from the kill: until the study knows, and until the student's next epoch begins.
"""

import argparse
import itertools
import os
import secrets
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import _sweeps
from selkd.config import Workspace
from selkd.tracking import StudyRecord, TrialRecord

WARM = 5
"""Epochs that students train undisturbed before a node is killed."""
PATIENCE = 120.0


class Loss(NamedTuple):
    """Seconds after the kill of a node."""

    known: float
    going_on: float


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--losses", type=int, default=5)
    parser.add_argument("--students", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=200)
    options = parser.parse_args(argv)
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    from benchmarks._nodes import Nodes, nodes
    from selkd.sweeps.run import sweep

    losses: list[Loss] = []
    with tempfile.TemporaryDirectory(prefix="selkd-bench-") as name:
        os.environ.update(_sweeps.environment(Path(name)))
        workspace = Workspace(Path(name))
        space = _sweeps.space("lost", options.students, options.epochs, concurrent=2)

        def disturb(running: Nodes) -> None:
            for _ in range(options.losses):
                if (loss := _lose(running, Watched(workspace, space["name"]))) is None:
                    return
                losses.append(loss)
                print(f"known after {loss.known:.1f} s, going on after {loss.going_on:.1f} s", flush=True)

        with nodes(1, 1, 1) as running, ThreadPoolExecutor(1) as beside:  # Ray starts nodes in the main thread alone
            training = beside.submit(sweep, space, workspace)
            disturb(running)
            study = training.result()
        events = StudyRecord(study.folder).ledger.events()
    ends = Counter(e["key"] for e in events if e["event"] == "trial" and e["status"] != "stopped")
    if losses:
        known, going_on = (statistics.median(found) for found in zip(*losses, strict=True))
        print(
            f"{len(losses)} nodes lost: known after {known:.1f} s, the student goes on after {going_on:.1f} s (medians)"
        )
    lost, doubled = len(study.state.trials) - len(ends), sum(count > 1 for count in ends.values())
    print(f"of {len(study.state.trials)} trials {lost} lost, {doubled} recorded twice (goal: 0 and 0)")


class Watched:
    """A study at work, seen through its ledgers."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        self.workspace, self.name = workspace, name
        self.ledger = StudyRecord(workspace.studies / name).ledger

    def over(self) -> bool:
        return any(event["event"] == "stop" for event in self.ledger.events())

    def warm(self) -> bool:
        """Whether all students that train have trained for a while."""
        records = [TrialRecord(path) for path in self.workspace.runs.glob(f"{self.name}-*")]
        return all(record.progress[0] >= WARM for record in records if record.status == "running")

    def losses(self, since: float) -> list[dict[str, Any]]:
        return [event for event in self.ledger.events() if event["event"] == "lost" and event["time"] > since]

    def epochs(self, key: str, since: float = 0.0) -> list[float]:
        """When a student ended epochs, in milliseconds."""
        events = TrialRecord(self.workspace.runs / key).ledger.events()
        return [event["time"] for event in events if event["event"] == "log" and event["time"] > since]


def _lose(running: Any, study: Watched) -> Loss | None:
    """Kill a node on which a student trains; nothing where the study ends before that student goes on."""
    if not _until(lambda: study.over() or (len(running.busy()) == 2 and study.warm())) or study.over():
        return None
    began = 1000 * time.time()
    running.kill(running.busy()[0])
    if not _until(lambda: study.over() or study.losses(began)) or not study.losses(began):
        return None
    [lost] = study.losses(began)
    key, known = lost["key"], lost["time"]
    if not _until(lambda: study.over() or study.epochs(key, known)) or not study.epochs(key, known):
        return None
    running.add()
    undisturbed = study.epochs(key)[:WARM]
    took = statistics.median(later - earlier for earlier, later in itertools.pairwise(undisturbed))
    return Loss((known - began) / 1000, (study.epochs(key, known)[0] - took - began) / 1000)


def _until(condition: Callable[[], Any]) -> bool:
    """Whether it came true in time."""
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


if __name__ == "__main__":
    main()
