"""The store: a durable copy of what a workspace holds, on any file system, where SELKD_STORE names one.

Everything works on the workspace. What is finished there is published, and what is asked for and not there is fetched:
runs, studies, teachers and evidence, each folder whole. Without SELKD_STORE there is `Nowhere`, which does nothing.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from selkd.errors import UserError

if TYPE_CHECKING:
    from selkd.store.copies import Store

VARIABLE = "SELKD_STORE"
MARK = ".stored.json"
"""A file in a published folder: which version of it the store has."""

__all__ = ["MARK", "VARIABLE", "Damaged", "Nowhere", "Term", "store"]


class Damaged(UserError):
    """What the store holds is not what was stored."""


class Nowhere:
    """No store: nothing is published, and nothing is there."""

    uri = ""

    def publish(
        self, folder: Path, *, rank: int = 0, leave_out: Sequence[str] = (), first: Callable[[], None] = lambda: None
    ) -> bool:
        return True

    def fetch(self, folder: Path) -> bool:
        return False

    def keep(self, folder: Path) -> None:
        pass

    def bring(self, folders: Iterable[Path]) -> None:
        pass

    def refresh(self, folder: Path, lock: str) -> None:
        pass

    def names(self, kind: str) -> set[str]:
        return set()

    def leftovers(self, age: float) -> dict[str, int]:
        return {}

    def delete(self, name: str) -> None:
        pass

    def forget(self, folder: Path) -> None:
        pass

    @contextmanager
    def following(self, publish: Callable[[], object], what: str) -> Iterator[None]:
        yield

    @contextmanager
    def driving(self, folder: Path, busy: str) -> Iterator["Term"]:
        yield Term()


class Term:
    """The time in which one driver works on a study; each has a higher number than those before."""

    number = 0
    lost = False  # whether another driver has taken the study over


def store() -> "Store | Nowhere":
    """The store that SELKD_STORE names."""
    uri = os.environ.get(VARIABLE, "")
    return _opened(uri) if uri else Nowhere()


@lru_cache(maxsize=4)
def _opened(uri: str) -> "Store":
    from selkd.store.copies import Store

    return Store(uri)
