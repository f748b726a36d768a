"""What a workspace holds that no record, study or teacher refers to, and its removal."""

import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selkd.config import Workspace
from selkd.data.faults import Faults
from selkd.errors import Busy, UserError
from selkd.files import cannot_write, fingerprint, holding, read_json
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
    "evidence": "what networks that are gone said of rows, for students that are gone",
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
    keys: dict[Path, dict[str, Any]] = {}
    for folder in sorted(workspace.evidence.glob("[!.]*/")):
        with suppress(UserError, KeyError, TypeError):  # what cannot be understood is not ours to delete
            keys[folder] = dict(read_json(folder / "meta.json")["key"])
    wanted = _Wanted.of(workspace, gone, {name for key in keys.values() if (name := _network(key))})
    kept = {folder.name for folder, key in keys.items() if wanted.keeps(folder.name, key)}
    for folder, key in keys.items():
        of_anything = "logits" in key or _network(key) or _brief(key)
        if of_anything and folder.name not in kept and key.get("logits") not in kept:
            yield Unneeded("evidence", folder, _size(folder), folder.parent / f".{folder.name}.lock")


def _network(key: Mapping[str, Any]) -> str | None:
    """Whose answers or features evidence holds."""
    return key.get("teacher") or key.get("network")


def _brief(key: Mapping[str, Any]) -> bool:
    """Whether evidence holds the answers of a student that was trained briefly, for a task."""
    return {"run", "categories", "data"} <= set(key)


@dataclass
class _Wanted:
    """What teachers that are there and records of runs refer to."""

    folders: set[str] = field(default_factory=set)  # evidence by name
    networks: set[str] = field(default_factory=set)  # fingerprints of teachers
    tasks: set[tuple[str, Any]] = field(default_factory=set)  # data and categories
    data: set[str] = field(default_factory=set)  # of runs some of whose teachers are gone, and not named one by one
    all_features: bool = False  # of a run that compared features of a network that is gone, and not named

    @classmethod
    def of(cls, workspace: Workspace, gone: set[Path], known: set[str]) -> "_Wanted":
        """`known` are the networks that there is evidence of."""
        cards, wanted = TeacherRepository(workspace.teachers).cards()[0], cls()
        there = {card.fingerprint for card in cards.values()}
        wanted.networks |= there
        for ledger in workspace.runs.glob(f"*/{LEDGER}"):
            for event in _begins(ledger) if ledger.parent not in gone else ():
                made_from, config = event.get("provenance", {}).get("fingerprints", {}), event["config"]
                data, teacher = _data(made_from, config), made_from.get("teacher")
                wanted.folders |= {made_from.get("evidence")} - {None}
                wanted.networks |= {teacher} - {None}
                wanted.tasks |= {(each, made_from.get("categories")) for each in data}
                crosses, alone = "semantics" in made_from, teacher in known | there
                if crosses and not alone and not _chosen(ledger.parent) <= set(cards):
                    wanted.data |= data
                semantics = config.get("semantics")
                encoder = semantics.get("encoder") if isinstance(semantics, dict) else None
                wanted.all_features |= encoder is not None and encoder not in cards
        return wanted

    def keeps(self, name: str, key: Mapping[str, Any]) -> bool:
        """Whether evidence that is not made of other evidence stays."""
        if name in self.folders or _network(key) in self.networks or (self.all_features and "network" in key):
            return True
        if _brief(key):
            return (key["data"], fingerprint(key["categories"])) in self.tasks
        return _network(key) is not None and key.get("data") in self.data


def _data(made_from: Mapping[str, Any], config: Mapping[str, Any]) -> set[str]:
    """A run's data as evidence names them: themselves, and as faults show them to `teacher_logits` and `Meanings`."""
    data, settings = made_from.get("data"), config.get("data")
    if not data:
        return set()
    if not isinstance(settings, dict) or "faults" not in settings:
        return {data}
    faults, seed = Faults.model_validate(settings["faults"]), settings["seed"]
    return {data, faults.fingerprint(data, seed), faults.rows_fingerprint(data, seed)}


def _chosen(run: Path) -> set[str]:
    """Names of the teachers that a run learnt from."""
    with suppress(UserError, KeyError, TypeError):
        return set(read_json(run / "selection.json")["teachers"]["chosen"])
    return {""}  # nobody has this name


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
