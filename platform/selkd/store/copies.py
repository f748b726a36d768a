"""Publish folders of the workspace to a store, and fetch them from it."""

import hashlib
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from selkd.errors import Busy, UserError
from selkd.files import cannot_write, holding, writing_folder
from selkd.store import Damaged, Term, versions
from selkd.store.claims import driving
from selkd.store.place import Place
from selkd.store.survey import Changed, Found, pieces, survey
from selkd.store.versions import Kept, Mark, Name

log = logging.getLogger(__name__)

LEDGER = "ledger.jsonl"
"""Put in place last: without it, a folder of a run or study means nothing."""
SUPERSEDED = ".superseded"
LOCK = ".stored.lock"
KINDS = ("runs", "studies", "teachers", "evidence")
PACE = 5.0
LONGEST_PACE = 60.0
AT_ONCE = 8
TRIES = 3


class Gone(Exception):
    """An object that a version names is not there."""


class Store:
    """Folders under the names that they have in every workspace, such as `runs/KEY`."""

    def __init__(self, uri: str) -> None:
        self.place = Place(uri)
        self.uri = self.place.uri

    def publish(
        self, folder: Path, *, rank: int = 0, leave_out: Sequence[str] = (), first: Callable[[], None] = lambda: None
    ) -> bool:
        """Store a folder as it is now; `first` is called when its files are known, before any is stored.

        False where the store has what counts more: a higher rank, that somebody else stored.
        """
        if folder.parent.name not in KINDS:
            return True
        with holding(folder / LOCK, 600, f"{folder}: another process has been publishing it for ten minutes."):
            for attempt in range(TRIES):
                try:
                    found = survey(folder, leave_out)
                    first()
                    return self._publish(folder, rank, found)
                except Changed as change:
                    if attempt == TRIES - 1:
                        raise UserError(f"{change} It is published later.") from None
        raise AssertionError

    def _publish(self, folder: Path, rank: int, found: dict[str, Found]) -> bool:
        key, mark = _key(folder), Mark.read(folder) or Mark(uuid.uuid4().hex[:12])
        if mark.store != self.uri:
            mark = Mark(mark.writer, self.uri)
        last = Name.of(mark.version) if mark.version else None
        if last and last.rank == rank and {k: v[:2] for k, v in mark.files.items()} == found:
            return True
        top = versions.newest(self.place, key)
        if top is not None and top.writer != mark.writer and top.rank > rank:
            return False
        mark.write(folder)  # who goes on after a kill is the same writer
        mine = f"{key}/objects/{mark.writer}"
        files = {name: Kept(*content, f"{mine}/{content.sha256}") for name, content in found.items()}
        stored = {kept.object for kept in mark.files.values()}
        missing = {kept.object: (name, kept) for name, kept in files.items() if kept.object not in stored}

        def put(one: tuple[str, Kept]) -> None:
            name, kept = one
            if self.place.put(kept.object, lambda: pieces(folder / name, kept.bytes)) != kept.sha256:
                raise Changed(f"{folder / name} changed while it was published.")

        _each(put, list(missing.values()))
        name = Name(rank, (top.number if top else 0) + 1, mark.writer)
        versions.write(self.place, key, name, files)
        Mark(mark.writer, self.uri, str(name), files).write(folder)
        if last and last.writer == mark.writer:
            self.place.delete(f"{key}/versions/{last}.json")
            for old in sorted(stored - {kept.object for kept in files.values()}):
                if old.startswith(f"{mine}/"):
                    self.place.delete(old)
        return True

    def fetch(self, folder: Path) -> bool:
        """Put in place what the store has of a folder, unless it came from here; whether anything was.

        A ledger that is here and in no version of the store is set aside.
        """
        key = _key(folder)
        if folder.parent.name not in KINDS:
            return False
        for attempt in range(TRIES):
            top, mark = versions.newest(self.place, key), Mark.read(folder)
            if top is None or (mark is not None and (mark.store, mark.version) == (self.uri, str(top))):
                return False
            try:
                self._fetch(folder, key, top, mark)
            except Gone:  # a newer version has taken its place meanwhile
                if attempt == TRIES - 1 and versions.newest(self.place, key) == top:
                    raise Damaged(
                        f"{self.uri}/{key}/versions/{top}.json: names what is not there. {versions.REMEDY}"
                    ) from None
            else:
                return True
        raise UserError(f"{self.uri}/{key}: changes too often to be fetched. Try again.")

    def _fetch(self, folder: Path, key: str, top: Name, mark: Mark | None) -> None:
        files = versions.read(self.place, key, top)
        fetched = Mark((mark or Mark(uuid.uuid4().hex[:12])).writer, self.uri, str(top), files)
        if not folder.exists():
            with writing_folder(folder) as part:
                self._download(files, part)
                fetched.write(part)
            return
        with TemporaryDirectory(prefix=".fetched.", dir=folder) as scratch:
            part = Path(scratch)
            self._download(files, part)
            self._set_aside(folder, part, known=mark is not None)
            for name in sorted(files, key=lambda name: name == LEDGER):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (part / name).replace(folder / name)
            fetched.write(folder)

    def _set_aside(self, folder: Path, part: Path, *, known: bool) -> None:
        """Keep a ledger that is not the beginning of the one that takes its place."""
        here, there = folder / LEDGER, part / LEDGER
        if not here.exists() or not there.exists() or there.read_bytes().startswith(here.read_bytes()):
            return
        if not known and folder.parent.name == "studies":
            raise UserError(
                f"{folder.name}: the store {self.uri} has another study of this name. Give this one another name, or "
                f"remove {folder} to go on with that of the store."
            )
        aside = folder / SUPERSEDED / f"{time.time_ns() // 1_000_000}.jsonl"
        aside.parent.mkdir(exist_ok=True)
        here.rename(aside)
        log.warning("%s: another machine went on with it; what was recorded here alone is in %s", folder.name, aside)

    def _download(self, files: dict[str, Kept], part: Path) -> None:
        def get(one: tuple[str, Kept]) -> None:
            name, kept = one
            path = part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                found = self.place.patiently(lambda: self._copied(kept, path))
            except FileNotFoundError:
                raise Gone from None
            if found != kept.sha256:
                raise Damaged(f"{self.uri}/{kept.object}: damaged (its checksum differs). {versions.REMEDY}")

        _each(get, list(files.items()))

    def _copied(self, kept: Kept, path: Path) -> str:
        """Copy an object to a file; its SHA-256. A connection that broke is no damage."""
        digest, size = hashlib.sha256(), 0
        with path.open("wb") as file:
            for piece in self.place.pieces(kept.object):
                try:
                    file.write(piece)
                except OSError as error:
                    raise cannot_write(path, error) from error
                digest.update(piece)
                size += len(piece)
        if size < kept.bytes and self.place.size(kept.object) == kept.bytes:
            raise OSError(f"{kept.object} was cut short on its way")
        return digest.hexdigest()

    def keep(self, folder: Path) -> None:
        """Publish a folder; what cannot be now is said, and no error."""
        self._published(lambda: self.publish(folder), folder.name)

    def bring(self, folders: Iterable[Path]) -> None:
        """Have these folders here, as far as the store has them; what is damaged is named, and not used."""

        def bring(folder: Path) -> None:
            try:
                self.fetch(folder)
            except Damaged as damage:
                log.warning("%s", damage)

        _each(bring, list(folders))

    def refresh(self, folder: Path, lock: str) -> None:
        """Fetch what others did, unless somebody here holds the lock and does more."""
        if versions.newest(self.place, _key(folder)) is not None:
            with suppress(Busy), holding(folder / lock, 0, "busy"):
                self.fetch(folder)

    def names(self, kind: str) -> set[str]:
        """The folders of a kind that the store has."""
        return set(self.place.children(kind))

    def leftovers(self, age: float) -> dict[str, int]:
        """Objects that no newest version names and that are older than `age` seconds, with their sizes.

        Younger ones may belong to a version that is being written.
        """
        found: dict[str, int] = {}
        for kind in KINDS:
            for key in (f"{kind}/{name}" for name in sorted(self.names(kind))):
                top = versions.newest(self.place, key)
                if top is None:
                    continue
                kept = {file.object for file in versions.read(self.place, key, top).values()}
                kept.add(f"{key}/versions/{top}.json")
                old = self.place.sizes(key, older_than=age)
                found |= {
                    name: size
                    for name, size in old.items()
                    if name not in kept and not name.startswith(f"{key}/drivers/")
                }
        return found

    def delete(self, name: str) -> None:
        """Remove one object."""
        self.place.delete(name)

    def forget(self, folder: Path) -> None:
        """Remove a folder from the store."""
        self.place.delete_below(f"{_key(folder)}/versions")
        self.place.delete_below(_key(folder))

    def driving(self, folder: Path, busy: str) -> AbstractContextManager[Term]:
        """The time in which this machine alone drives the study in a folder; `busy` is said where another does."""
        mark = Mark.read(folder) or Mark(uuid.uuid4().hex[:12])
        mark.write(folder)
        top = versions.newest(self.place, _key(folder))
        return driving(self.place, f"{_key(folder)}/drivers", mark.writer, top.rank if top else 0, busy)

    @contextmanager
    def following(self, publish: Callable[[], object], what: str) -> Iterator[None]:
        """Publish now and then what grows meanwhile, and at the end. What cannot be is said, and no error."""
        ending = threading.Event()

        def work() -> None:
            pace = PACE
            while not ending.wait(pace):
                pace = PACE if self._published(publish, what) else min(2 * pace, LONGEST_PACE)

        thread = threading.Thread(target=work, name=f"publisher of {what}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ending.set()
            thread.join()
            self._published(publish, what)

    def _published(self, publish: Callable[[], object], what: str) -> bool:
        try:
            publish()
        except Exception as error:  # work here goes on, whatever becomes of its copy
            log.warning("%s: not in the store yet; `selkd sync` brings it there later. %s", what, error)
            return False
        return True


def _each(action: Callable[[Any], None], ones: Sequence[Any]) -> None:
    """Several at once."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(action, ones))


def _key(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"
