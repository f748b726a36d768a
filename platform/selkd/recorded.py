"""Recorded runs, found by what people call them: here, or in MLflow when another machine trained them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selkd.config import RunConfig, Workspace
from selkd.errors import UserError, nearest
from selkd.store import store
from selkd.tracking import TrialRecord, tracking_uri
from selkd.tracking.fetching import RunName, fetch_record, find_run, is_run_id, trial_keys
from selkd.tracking.provenance import without_password
from selkd.tracking.record import LEDGER


@dataclass(frozen=True)
class Recorded:
    """A trial's record; `run_id` is that of MLflow where the record was fetched from there."""

    record: TrialRecord
    run_id: str | None = None

    @property
    def key(self) -> str:
        return self.begins[-1]["key"]

    @property
    def begins(self) -> list[dict[str, Any]]:
        """What each turn of the training began with."""
        return [event for event in self.record.ledger.events() if event["event"] == "begin"]

    @property
    def fingerprints(self) -> dict[str, str | None]:
        """What the student was made from, by content."""
        return self.begins[-1]["provenance"].get("fingerprints", {})

    def config(self) -> RunConfig:
        """The recorded configuration, or an error that says which selkd wrote it and what it knew that we do not."""
        try:
            return RunConfig.of(self.record.config)
        except UserError as error:
            wrote = (self.begins[-1]["provenance"].get("versions") or {}).get("selkd") or "an unknown version"
            git = self.begins[-1]["provenance"].get("git") or {}
            commit = f", commit {git['commit'][:12]}" if git.get("commit") else ""
            raise UserError(
                f"{self.key}: recorded by selkd {wrote}{commit}; this version does not understand its configuration. "
                f"Use that version.\n{error}"
            ) from None


def find(run: str, workspace: Workspace, scratch: Path) -> Recorded:
    """The record of a run: by trial key, unique beginning of a key, folder, or the id of its run in MLflow.

    What MLflow alone has is fetched into `scratch`.
    """
    if not run:
        raise UserError("run: the name is empty. Give a trial's key, or the id of its run in MLflow.")
    for folder in (Path(run), workspace.runs / run):
        if (folder / LEDGER).is_file():
            return Recorded(_trial(folder))
    known = sorted({path.parent.name for path in workspace.runs.glob(f"*/{LEDGER}")} | store().names("runs"))
    begins = [key for key in known if key.startswith(run)]
    if len(begins) == 1 and not is_run_id(run):
        folder = workspace.runs / begins[0]
        if not (folder / LEDGER).is_file():
            store().fetch(folder)
        return Recorded(_trial(folder))
    if begins:
        raise UserError(f"{run!r} may be any of {', '.join(begins[:5])}. Write more of the key.")
    uri = tracking_uri(workspace.root)
    found = find_run(uri, run)
    if found is None:
        there = trial_keys(uri)
        raise UserError(
            f"{run!r} is neither a run in {workspace.runs} ({len(known)} there) nor in MLflow at "
            f"{without_password(uri)} ({len(there)} there). {nearest(run, sorted({*known, *there}))}"
        )
    here = _here(found, workspace)
    return here or Recorded(fetch_record(uri, found.run_id, scratch / "recorded"), found.run_id)


def finished(recorded: Recorded) -> Recorded:
    """The record, if its student was finished; else why there is none."""
    record = recorded.record
    events = record.ledger.events()
    reason = next((e["reason"] for e in reversed(events) if e["event"] == "finish"), None) or "no reason was recorded"
    told = {
        "running": "it is still in training, or its process died. The command that trains it goes on with it.",
        "stopped": f"it was stopped ({reason}). The command that trains it goes on with it.",
        "pruned": f"its study stopped it early ({reason}), so there is no student.",
        "failed": f"it failed ({reason}), so there is no student.",
    }
    if record.status in told:
        raise UserError(f"{recorded.key}: {told[record.status]} Name a finished run.")
    return recorded


def _trial(folder: Path) -> TrialRecord:
    record = TrialRecord(folder)
    if record.status is None:
        raise UserError(f"{folder}: its ledger tells of no training. Name the run of a student or a teacher.")
    return record


def _here(found: RunName, workspace: Workspace) -> Recorded | None:
    """The record that the run of MLflow was written from, if this workspace has it."""
    folder = workspace.runs / found.trial
    record = TrialRecord(folder) if (folder / LEDGER).is_file() else None
    return Recorded(record) if record is not None and record.ledger.id == found.ledger else None
