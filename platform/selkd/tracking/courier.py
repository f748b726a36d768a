"""Delivery in the background, which training never waits for, and delivery on demand."""

import logging
import threading
import time
from importlib import import_module
from pathlib import Path

from selkd.errors import UserError
from selkd.tracking.delivery import Cursor, deliver, experiments
from selkd.tracking.ledger import Ledger
from selkd.tracking.provenance import without_password
from selkd.tracking.record import LEDGER
from selkd.tracking.server import reachable, tracking_uri

log = logging.getLogger(__name__)

PACE = 2.0
LONGEST_WAIT = 60.0
HEAD_START = 2.0
"""Seconds before the first delivery: importing MLflow's client would hold up whatever is about to begin."""


class Courier:
    """Delivers ledgers to one experiment while they grow. What fails is tried again, ever more rarely."""

    def __init__(self, uri: str, experiment: str) -> None:
        self.uri, self.experiment = uri, experiment
        self._known: set[Path] = set()
        self._due: dict[Path, None] = {}
        self._poked = threading.Event()
        self._closing = threading.Event()
        self._ready = threading.Event()
        self._arrived = time.monotonic()
        self._thread = threading.Thread(target=self._work, name=f"courier of {experiment}", daemon=True)
        self._thread.start()

    def poke(self, folder: Path) -> None:
        """Say that the ledger of a trial or study has grown; returns at once."""
        if folder not in self._known:  # so that a later `sync` knows where it was meant to go
            cursor = Cursor.read(folder, self.uri, self.experiment, Ledger(folder / LEDGER).id)
            if cursor.run_id is None:
                cursor.write(folder, self.uri)
            self._known.add(folder)
        self._due[folder] = None
        self._poked.set()

    def close(self, timeout: float) -> bool:
        """Try once more, until no record arrived for `timeout` seconds; whether everything is delivered."""
        self._closing.set()
        self._poked.set()
        self._ready.wait()
        self._arrived = time.monotonic()
        while self._thread.is_alive() and (left := self._arrived + timeout - time.monotonic()) > 0:
            self._thread.join(left)
        return not self._thread.is_alive() and not self._due

    def _work(self) -> None:
        wait = PACE
        warned = False
        closing = False
        self._closing.wait(HEAD_START)
        try:
            import_module("mlflow")
        finally:
            self._ready.set()
        while not closing:
            self._poked.wait()
            self._poked.clear()
            closing = self._closing.is_set()
            for folder in list(self._due):
                self._due.pop(folder)  # before it is read: what is added meanwhile is due again
                try:
                    deliver(folder, self.uri, self.experiment)
                    self._arrived = time.monotonic()
                    wait = PACE
                except Exception as error:
                    self._due[folder] = None
                    self._poked.set()
                    wait = min(2 * wait, LONGEST_WAIT)
                    if not warned:
                        warned = True
                        log.warning(
                            "%s: not delivered to MLflow at %s yet; training goes on, `selkd sync` delivers later (%s)",
                            folder.name,
                            without_password(self.uri),
                            (str(error) or type(error).__name__).splitlines()[0],
                        )
                    if reachable(self.uri):
                        break
            if not closing:
                self._closing.wait(wait)


def sync(workspace: Path) -> list[tuple[str, int]]:
    """Deliver everything that MLflow lacks; trials and studies with the number of events delivered."""
    uri = tracking_uri(workspace)
    delivered: list[tuple[str, int]] = []
    faults: list[str] = []
    for path in sorted(path for kind in ("runs", "studies") for path in (workspace / kind).glob(f"*/{LEDGER}")):
        folder = path.parent
        try:
            count = sum(deliver(folder, uri, name) for name in experiments(folder))
        except Exception as error:
            faults.append(f"{folder.name}: {error}")
            if reachable(uri):
                break
            continue
        if count:
            delivered.append((folder.name, count))
    if faults:
        shown = "\n".join(faults)
        raise UserError(f"{len(delivered)} records delivered to {without_password(uri)}, not these:\n{shown}")
    return delivered
