"""How far long work is: told to whoever listens, such as a command with a terminal, else to nobody."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str, int, int], None]  # what is worked on, images done, images in all


def _nobody(what: str, done: int, total: int) -> None:
    """Hears nothing."""


_listener: ContextVar[Listener] = ContextVar("listener", default=_nobody)


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Within, `listener` hears of the progress of this thread's work."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(what: str, done: int, total: int) -> None:
    """Say that `done` of `total` images are through."""
    _listener.get()(what, done, total)
