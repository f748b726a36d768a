"""End a study from outside: ask its driver, or put in order what a killed driver left."""

from collections.abc import Callable

from filelock import FileLock, Timeout

from selkd.config import Workspace
from selkd.sweeps.run import DELIVERY_PATIENCE, settle
from selkd.sweeps.state import State
from selkd.sweeps.studies import LOCK, STOP, Study
from selkd.tracking import Courier, StudyRecord, tracking_uri
from selkd.tracking.stored import driven

PACE = 0.5


def stop(name: str, workspace: Workspace | None = None, waiting: Callable[[Study], None] = lambda _: None) -> Study:
    """End a study; it can be resumed. `waiting` is shown how it stands while its students save where they are."""
    workspace = workspace or Workspace.default()
    folder = Study.read(name, workspace).folder
    lock = FileLock(folder / LOCK)
    while not lock.is_locked:
        try:
            lock.acquire(timeout=PACE)
        except Timeout:  # again and again: a driver that only begins removes what an earlier one was asked
            (folder / STOP).touch()
            waiting(Study.read(name, workspace))
    try:
        (folder / STOP).unlink(missing_ok=True)
        busy = f"{name}: a driver on another machine works on it. End it there."
        with driven(folder, workspace.runs, busy):
            _put_in_order(name, StudyRecord(folder), workspace)
    finally:
        lock.release()
    return Study.read(name, workspace)


def _put_in_order(name: str, record: StudyRecord, workspace: Workspace) -> None:
    """Say of what a killed driver left running that it stopped, and tell MLflow."""
    state = State.of(record.ledger.events())
    if state.driver is None:
        return
    record.miss()
    settle(state, record, workspace)
    record.stop(False, "its driver ended without a word")
    courier = Courier(tracking_uri(workspace.root), name)
    for folder in (record.folder, *(workspace.runs / key for key in state.trials)):
        if folder.is_dir():
            courier.poke(folder)
    courier.close(DELIVERY_PATIENCE)
