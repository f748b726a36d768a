"""From a trial's ledger to MLflow: at least once, and nothing doubled."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from selkd.errors import UserError
from selkd.files import fingerprint, holding, read_json, write_json
from selkd.tracking.ledger import Event, Ledger
from selkd.tracking.provenance import without_password
from selkd.tracking.record import LEDGER
from selkd.tracking.server import connect, experiment_id, tracking_uri

CURSORS = "delivered-*.json"
PATIENCE = 60.0


@dataclass
class Cursor:
    """How much of a ledger one experiment of one MLflow has, and in which run."""

    experiment: str
    ledger: str | None
    delivered: int = 0
    run_id: str | None = None

    @classmethod
    def read(cls, folder: Path, uri: str, experiment: str, ledger: str | None) -> "Cursor":
        """What is known; a cursor that is damaged or that of another ledger counts for nothing."""
        try:
            found = cls(**read_json(_path(folder, uri, experiment)))
        except (UserError, TypeError):
            found = cls(experiment, ledger)
        return found if found.ledger == ledger else cls(experiment, ledger)

    def write(self, folder: Path, uri: str) -> None:
        write_json(_path(folder, uri, self.experiment), asdict(self))


def deliver(folder: Path, uri: str, experiment: str) -> int:
    """Project what is new in a trial's ledger to MLflow; the number of events delivered.

    The run is the one whose tags name the trial and its ledger. Points carry the ledger's own times, so that MLflow
    knows them when they come again.
    """
    from selkd.tracking.projection import BEGINNINGS, find_or_create, is_active, project

    busy = f"{folder}: another process has been delivering it for {PATIENCE:.0f} s."
    with holding(folder / "delivery.lock", PATIENCE, busy):
        ledger = Ledger(folder / LEDGER)
        events = ledger.events()
        cursor = Cursor.read(folder, uri, experiment, ledger.id)
        first = next((e for e in events if e["event"] in BEGINNINGS), None)
        if first is None or cursor.delivered >= len(events):
            return 0
        client = connect(uri)
        place = experiment_id(client, uri, experiment, folder.absolute().parent.parent)
        run_id = cursor.run_id
        if run_id is None or not is_active(client, run_id):
            run_id = find_or_create(client, place, first, ledger.id)
            cursor = Cursor(experiment, ledger.id, 0, run_id)
            cursor.write(folder, uri)
        start = cursor.delivered
        for portion in _portions(events[start:]):
            project(client, place, run_id, folder, portion, events)
            cursor.delivered += len(portion)
            cursor.write(folder, uri)
        return cursor.delivered - start


def missing(folder: Path, uri: str, experiment: str) -> int:
    """How many events of a trial one experiment of MLflow lacks."""
    ledger = Ledger(folder / LEDGER)
    return len(ledger.events()) - Cursor.read(folder, uri, experiment, ledger.id).delivered


def pending(folder: Path) -> int:
    """How many events of a trial MLflow lacks, over the experiments it is meant for."""
    uri = tracking_uri(folder.absolute().parent.parent)
    return sum(missing(folder, uri, experiment) for experiment in experiments(folder))


def experiments(folder: Path) -> list[str]:
    """The experiments that a trial was delivered to, or was meant for, whichever MLflow that was."""
    return sorted({read_json(path)["experiment"] for path in folder.glob(CURSORS)})


def _path(folder: Path, uri: str, experiment: str) -> Path:
    return folder / f"delivered-{fingerprint([without_password(uri), experiment])[:12]}.json"


def _portions(events: list[Event], size: int = 1000) -> Iterator[list[Event]]:
    """Consecutive metrics together, up to about `size` points; every other event alone."""
    portion: list[Event] = []
    for event in events:
        if event["event"] != "log" or sum(len(e["metrics"]) for e in portion) >= size:
            if portion:
                yield portion
            portion = []
        if event["event"] == "log":
            portion.append(event)
        else:
            yield [event]
    if portion:
        yield portion
