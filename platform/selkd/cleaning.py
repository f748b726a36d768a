"""What a workspace holds that no record, study or teacher refers to, and its removal."""

import re
import shutil
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selkd.config import Workspace
from selkd.errors import Busy, UserError
from selkd.files import cannot_write, holding, read_json
from selkd.models.teachers import TeacherRepository
from selkd.store import store
from selkd.tracking import TrialRecord
from selkd.tracking.ledger import Ledger
from selkd.tracking.record import LEDGER
from selkd.tracking.stored import CHECKPOINTS

LOCK = ".lock"
DAY = 86400.0
YOUNG = 3600.0
"""Seconds in which a file may still be of a process that writes it."""
KINDS = {
    "temporary": "files that a killed process left half-written",
    "checkpoints": "checkpoints of finished students, which nothing reads any more",
    "runs": "students of studies that were removed",
    "evidence": "answers of teachers that are gone, for students that are gone",
    "store": "in the store: what its newest versions do not name",
}
_ABANDONED = re.compile(r"\..+\.([a-z0-9_]{8}|removed(-[0-9]+)?)")
"""Names that Python's tempfile and we give to what is not whole yet, or not any more."""


@dataclass(frozen=True)
class Unneeded:
    """A file or folder that nothing refers to, or an object of the store; `lock` is held by whoever works with it."""

    kind: str
    path: Path | str
    bytes: int
    lock: Path | None = None


def unneeded(workspace: Workspace) -> list[Unneeded]:
    """Everything that `remove` may delete now, by kind."""
    runs = list(_runs_of_removed_studies(workspace))
    gone = {one.path for one in runs if isinstance(one.path, Path)}
    return [
        *_temporary(workspace),
        *_checkpoints(workspace, gone),
        *runs,
        *_evidence(workspace, gone),
        *(Unneeded("store", name, size) for name, size in store().leftovers(DAY).items()),
    ]


def remove(workspace: Workspace, found: list[Unneeded]) -> list[Unneeded]:
    """Delete what was found and is still unneeded; what somebody holds or refers to by now stays. What was deleted."""
    still, removed = {one.path for one in unneeded(workspace)}, []
    for one in found:
        if one.path not in still:
            continue
        if isinstance(one.path, str):
            store().delete(one.path)
        elif not _deleted(one.path, one.lock):
            continue
        removed.append(one)
    return removed


def _temporary(workspace: Workspace) -> Iterator[Unneeded]:
    now = time.time()
    folders = [workspace.teachers, workspace.evidence, workspace.runs, workspace.studies]
    folders += [*workspace.runs.glob("[!.]*/"), *workspace.studies.glob("[!.]*/"), *workspace.runs.glob("*/*/")]
    for folder in folders:
        for path in folder.glob(".*") if folder.is_dir() and not folder.name.startswith(".") else ():
            if not _ABANDONED.fullmatch(path.name):
                continue
            changed = max((one.stat().st_mtime for one in (path, *path.rglob("*")) if one.exists()), default=now)
            if now - changed > YOUNG:
                yield Unneeded("temporary", path, _size(path), _writers_lock(path))


def _writers_lock(path: Path) -> Path | None:
    """The lock of who makes evidence in a folder `.FINGERPRINT.something`; a run's or study's own otherwise."""
    if path.parent.name == "evidence":
        return path.parent / f".{path.name[1:].split('.')[0]}.lock"
    owner = next((up for up in path.parents if up.parent.name in ("runs", "studies")), None)
    return owner / LOCK if owner else None


def _checkpoints(workspace: Workspace, gone: set[Path]) -> Iterator[Unneeded]:
    for folder in sorted(workspace.runs.glob(f"*/{CHECKPOINTS}")):
        if folder.parent in gone:
            continue
        if TrialRecord(folder.parent).status == "finished" and (folder.parent / "student" / "card.json").is_file():
            yield Unneeded("checkpoints", folder, _size(folder), folder.parent / LOCK)


def _runs_of_removed_studies(workspace: Workspace) -> Iterator[Unneeded]:
    ledgers = list(workspace.studies.glob(f"*/{LEDGER}"))
    studies = {ledger.parent.name for ledger in ledgers} | store().names("studies")
    events = (event for ledger in ledgers for event in Ledger(ledger).events())
    named = {trial["key"] for event in events for trial in event.get("trials", [])}
    begun = {ledger: _begins(ledger) for ledger in sorted(workspace.runs.glob(f"*/{LEDGER}"))}
    named |= {event["config"].get("start") for begins in begun.values() for event in begins}
    for ledger, begins in begun.items():
        of = {event["tags"].get("selkd.study") for event in begins}
        if begins and None not in of and not of & studies and ledger.parent.name not in named:
            yield Unneeded("runs", ledger.parent, _size(ledger.parent), ledger.parent / LOCK)


def _begins(ledger: Path) -> list[dict[str, Any]]:
    return [event for event in Ledger(ledger).events() if event["event"] == "begin"]


def _evidence(workspace: Workspace, gone: set[Path]) -> Iterator[Unneeded]:
    """Evidence is kept for every teacher that is there, and for what records of runs name."""
    teachers = {card.fingerprint for card in TeacherRepository(workspace.teachers).cards()[0].values()}
    kept: set[str] = set()
    for ledger in workspace.runs.glob(f"*/{LEDGER}"):
        if ledger.parent in gone:
            continue
        for event in Ledger(ledger).events():
            made_from = event.get("provenance", {}).get("fingerprints", {})
            teachers.add(made_from.get("teacher"))
            kept.add(made_from.get("evidence"))
    keys: dict[Path, dict[str, Any]] = {}
    for folder in sorted(workspace.evidence.glob("[!.]*/")):
        with suppress(UserError, KeyError, TypeError):  # what cannot be understood is not ours to delete
            keys[folder] = dict(read_json(folder / "meta.json")["key"])
    kept |= {folder.name for folder, key in keys.items() if not key.get("logits") and key.get("teacher") in teachers}
    for folder, key in keys.items():
        source = key.get("logits") or (folder.name if "teacher" in key else None)
        if source is not None and source not in kept and folder.name not in kept:
            yield Unneeded("evidence", folder, _size(folder), folder.parent / f".{folder.name}.lock")


def _size(path: Path) -> int:
    return sum(one.stat().st_size for one in (path, *path.rglob("*")) if one.is_file())


def _deleted(path: Path, lock: Path | None) -> bool:
    """Delete in one step what nobody holds; whether it was."""
    gone = path.with_name(f".{path.name}.removed")
    try:
        with holding(lock, 0, "busy") if lock else nullcontext():
            path.rename(gone)
            shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    except Busy:
        return False
    except OSError as error:
        raise cannot_write(path, error) from error
    return True
