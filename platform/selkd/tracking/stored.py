"""Runs and studies in the store: what counts, and in which order they get there."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selkd.errors import Busy
from selkd.files import holding
from selkd.store import Term, store
from selkd.tracking.ledger import Ledger
from selkd.tracking.record import LEDGER, TrialRecord

log = logging.getLogger(__name__)

CHECKPOINTS = "checkpoints"


def publish_run(folder: Path) -> None:
    """Store a run that began. A finished student counts more than an unfinished one, and needs no checkpoints."""
    status = TrialRecord(folder).status
    if status is not None:
        finished = status == "finished"
        store().publish(folder, rank=int(finished), leave_out=[CHECKPOINTS] if finished else [])


@contextmanager
def driven(folder: Path, runs: Path, busy: str) -> Iterator[Term]:
    """A study as the store has it, with its students, for this driver alone; what comes of it is published."""
    with store().driving(folder, busy) as term:
        store().fetch(folder)
        store().bring(_unfinished(folder, runs))
        with store().following(StudyCopy(folder, runs, term).publish, folder.name):
            yield term


def _unfinished(folder: Path, runs: Path) -> Iterator[Path]:
    events = Ledger(folder / LEDGER).events()
    keys = {trial["key"]: None for event in events for trial in event.get("trials", [])}
    yield from (runs / key for key in keys if TrialRecord(runs / key).status != "finished")


class StudyCopy:
    """The copy of a study in the store, as one driver writes it."""

    def __init__(self, folder: Path, runs: Path, term: Term) -> None:
        self.folder, self.runs, self.term = folder, runs, term
        self._published: set[str] = set()

    def publish(self) -> None:
        """Students first: a study in the store names nobody as ended who is not there."""
        if not (self.folder / LEDGER).exists():
            return
        if not store().publish(self.folder, rank=self.term.number, first=self._students):
            self.term.lost = True

    def _students(self) -> None:
        ended = {event["key"] for event in Ledger(self.folder / LEDGER).events() if event["event"] == "trial"}
        for key in sorted(ended - self._published):
            publish_run(self.runs / key)
            self._published.add(key)


def publish_all(workspace: Path, lock: str) -> None:
    """Store what the store lacks; a study that somebody works on is left to them."""
    for kind in ("teachers", "evidence"):
        for folder in sorted((workspace / kind).glob("[!.]*/")):
            store().publish(folder)
    for ledger in sorted((workspace / "runs").glob(f"*/{LEDGER}")):
        publish_run(ledger.parent)
    for ledger in sorted((workspace / "studies").glob(f"*/{LEDGER}")):
        folder, busy = ledger.parent, f"{ledger.parent.name}: left to its driver, which publishes it."
        try:
            with holding(folder / lock, 0, busy), driven(folder, workspace / "runs", busy):
                pass
        except Busy as why:
            log.warning("%s", why)
