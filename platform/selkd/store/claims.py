"""One driver a study, over all machines that use a store, without locks: file systems of objects have none.

Who wants to drive writes a claim of its own and then lists all. Who sees another withdraws and watches it: a claim that
changes belongs to somebody alive; one that stays the same is dead, and removed. Of two who begin at once, at least the
later one sees the other, wherever a listing shows all that was written before it. No clocks are compared.
"""

import logging
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from selkd.errors import Busy, UserError
from selkd.store import Term
from selkd.store.place import PART, Place

log = logging.getLogger(__name__)

BEAT = 5.0
"""Seconds between two signs of life."""
PATIENCE = 45.0
"""Seconds without one after which a driver counts as dead."""


@contextmanager
def driving(place: Place, folder: str, writer: str, last: int, busy: str) -> Iterator[Term]:
    """Hold the claim on a study; terms are numbered from the `last` one on.

    `writer` is the workspace: a claim of the same one is of a driver whose lock on this machine is free, so it is dead.
    """
    claim = _claimed(place, folder, writer, last, busy)
    beating = threading.Event()

    def beat() -> None:
        while not beating.wait(BEAT):
            try:
                claim.renew()
            except UserError as error:
                log.warning("no sign of life reaches the store: another machine may take the study over. %s", error)
            if claim.lost:
                return

    thread = threading.Thread(target=beat, name="signs of life", daemon=True)
    thread.start()
    try:
        yield claim
    finally:
        beating.set()
        thread.join()
        try:
            claim.withdraw()
        except UserError as error:
            log.warning("the claim on the study stays in the store for %d s. %s", PATIENCE, error)


class Claim(Term):
    """An object of its own that says who drives, written anew at every sign of life."""

    def __init__(self, place: Place, folder: str, writer: str, number: int) -> None:
        self.place, self.folder, self.writer, self.number = place, folder, writer, number
        self.name = f"{folder}/{number:06d}-{writer}"
        self._later: dict[str, str] = {}
        self.write()

    def write(self) -> None:
        said = f"{socket.gethostname()} {os.getpid()} {uuid.uuid4().hex}"
        self.place.put(self.name, lambda: [said.encode()])

    def renew(self) -> None:
        """A sign of life, unless the claim was removed, or a later one gives some, too: who only asks gives none."""
        before, others = self._later, _others(self.place, self.folder, self)
        self._later = {name: said for name, said in others.items() if _number(name) > self.number}
        drives = any(before.get(name, said) != said for name, said in self._later.items())
        self.lost = drives or self.name not in _claims(self.place, self.folder)
        if not self.lost:
            self.write()

    def withdraw(self) -> None:
        self.place.delete(self.name)


def _claimed(place: Place, folder: str, writer: str, last: int, busy: str) -> Claim:
    while True:
        for name in _claims(place, folder):
            last = max(last, _number(name))
            if _writer(name) == writer:
                place.delete(name)
        claim = Claim(place, folder, writer, last + 1)
        others = _others(place, folder, claim)
        if not others:
            return claim
        claim.withdraw()
        host = next(iter(others.values())).split(" ")[0]
        log.warning("waiting up to %d s: does the driver on %s still work on this study?", PATIENCE, host)
        ends = time.monotonic() + PATIENCE * random.uniform(1, 1.1)
        while (now := _others(place, folder, claim)) and time.monotonic() < ends:
            if any(others.get(name) != said for name, said in now.items()):
                raise Busy(f"{busy} It runs on {host}.")
            time.sleep(min(1.0, PATIENCE / 10))
        for name in now:
            place.delete(name)


def _others(place: Place, folder: str, claim: Claim) -> dict[str, str]:
    """What the claims of others say."""
    found = {}
    for name in _claims(place, folder):
        if _writer(name) != claim.writer:
            try:
                found[name] = place.get(name).decode()
            except FileNotFoundError:
                continue
    return found


def _claims(place: Place, folder: str) -> list[str]:
    return [name for name in place.sizes(folder) if not name.endswith(PART)]


def _writer(name: str) -> str:
    return name.rpartition("-")[2]


def _number(name: str) -> int:
    return int(name.rpartition("/")[2].split("-")[0])
