"""How a run is asked to end before its time: by who hears of an epoch, or from outside by a file or a signal."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from selkd.files import read_json, write_json

REQUEST = "end.json"


class StoppedEarly(Exception):
    """The student is not worth training further. The message says why."""


class Paused(Exception):
    """Training ends here, and may go on later. The message says why."""


class Moved(Exception):
    """Training ends here, and is to go on at once on another node. The message says why."""


KINDS: dict[str, type[Exception]] = {"stopped early": StoppedEarly, "paused": Paused, "moved": Moved}


def ask_to_end(folder: Path, end: StoppedEarly | Paused | Moved) -> None:
    """Let the run in this folder end when its epoch does."""
    kind = next(name for name, kind in KINDS.items() if isinstance(end, kind))
    write_json(folder / REQUEST, [kind, str(end)])


def obey(folder: Path) -> None:
    """Raise what was asked for, if anything."""
    if (folder / REQUEST).exists():
        kind, reason = read_json(folder / REQUEST)
        raise KINDS[kind](reason)


def forget(folder: Path) -> None:
    """What was asked of an earlier turn does not count."""
    (folder / REQUEST).unlink(missing_ok=True)


@contextmanager
def signals_kept() -> Iterator[None]:
    """Whatever sets handlers meanwhile, SIGINT and SIGTERM mean afterwards what they meant before."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def noticed() -> Iterator[Callable[[], None]]:
    """SIGTERM is the notice of a machine that is taken back: what is yielded raises `Paused` once it came.

    Before the first call there is nothing to save, so it ends the run at once, and so does a second one. SIGINT always
    does, and is raised again in the next call: code that runs when it comes may swallow it, an import with a bare
    `except` say.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    trains, told, interrupted = threading.Event(), threading.Event(), threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT or told.is_set() or not trains.is_set():
            interrupted.set()
            raise KeyboardInterrupt
        told.set()

    def leave() -> None:
        trains.set()
        if interrupted.is_set():
            raise KeyboardInterrupt
        if told.is_set():
            raise Paused("told to end (SIGTERM); the same command resumes")

    with signals_kept():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, note)
        yield leave
