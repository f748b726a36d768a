"""Errors for people: what is wrong, where, and what to do about it."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(ValueError):
    """A mistake of the user or of the outside world: shown without a traceback, exit code 2."""


class CannotWrite(UserError):
    """A full or read-only disk: nothing that is tried after it would fare better."""


class Busy(UserError):
    """Another process holds what is needed: later it may be free."""


def nearest(name: str, allowed: Iterable[str]) -> str:
    """A sentence that offers the closest valid name, or lists what is valid."""
    names = [str(a) for a in allowed]
    lowered = {n.lower(): n for n in names}
    close = get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {lowered[close[0]]!r}?"
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return f"Valid: {shown or 'none'}."
