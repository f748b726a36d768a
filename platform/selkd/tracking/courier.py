"""Delivery in the background, which training never waits for, and delivery on demand."""

import logging
import threading
from pathlib import Path

from selkd.errors import UserError
from selkd.tracking.delivery import Cursor, deliver, experiments, missing
from selkd.tracking.ledger import Ledger
from selkd.tracking.provenance import without_password
from selkd.tracking.record import LEDGER
from selkd.tracking.server import reachable, tracking_uri

log = logging.getLogger(__name__)

PACE = 2.0
LONGEST_WAIT = 60.0


class Courier:
    """Delivers one trial's ledger while the trial goes on. What fails is tried again, ever more rarely."""

    def __init__(self, folder: Path, uri: str, experiment: str) -> None:
        self.folder, self.uri, self.experiment = folder, uri, experiment
        self._poked = threading.Event()
        self._closing = threading.Event()
        ledger = Ledger(folder / LEDGER).id
        Cursor.read(folder, uri, experiment, ledger).write(folder, uri)
        self._thread = threading.Thread(target=self._work, name=f"courier of {folder.name}", daemon=True)
        self._thread.start()

    def poke(self) -> None:
        """Say that the ledger has grown; returns at once."""
        self._poked.set()

    def close(self, timeout: float) -> bool:
        """Try once more, for at most `timeout` seconds; whether everything is delivered."""
        self._closing.set()
        self._poked.set()
        self._thread.join(timeout)
        return not self._thread.is_alive() and not missing(self.folder, self.uri, self.experiment)

    def _work(self) -> None:
        wait = PACE
        warned = False
        closing = False
        while not closing:
            self._poked.wait()
            self._poked.clear()
            closing = self._closing.is_set()
            try:
                deliver(self.folder, self.uri, self.experiment)
                wait = PACE
            except Exception as error:
                self._poked.set()
                wait = min(2 * wait, LONGEST_WAIT)
                if not warned:
                    warned = True
                    log.warning(
                        "%s: not delivered to MLflow at %s yet; training goes on, `selkd sync` delivers later (%s)",
                        self.folder.name,
                        without_password(self.uri),
                        (str(error) or type(error).__name__).splitlines()[0],
                    )
            if not closing:
                self._closing.wait(wait)


def sync(workspace: Path) -> list[tuple[str, int]]:
    """Deliver everything that MLflow lacks; trials with the number of events delivered."""
    uri = tracking_uri(workspace)
    delivered: list[tuple[str, int]] = []
    faults: list[str] = []
    for path in sorted((workspace / "runs").glob(f"*/{LEDGER}")):
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
        raise UserError(f"{len(delivered)} trials delivered to {without_password(uri)}, not these:\n{shown}")
    return delivered
