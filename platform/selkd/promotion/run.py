"""Bring a finished student to the registry."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from selkd.config import Workspace
from selkd.errors import UserError
from selkd.files import holding
from selkd.models.card import CARD, read_card
from selkd.promotion.card import Origin, markdown
from selkd.promotion.measured import Estimate, estimates
from selkd.recorded import Recorded, find, finished
from selkd.tracking import StudentCard, TrialRecord, tracking_uri
from selkd.tracking.published import check_names, delivered, publish
from selkd.tracking.student import REMEDY

PATIENCE = 60.0
TEST = "predictions-test.parquet"


@dataclass(frozen=True)
class Promoted:
    """A student in the registry, with the card that stands there."""

    name: str
    version: str
    alias: str
    made: bool  # whether the version is new
    run_id: str
    measured: list[Estimate]
    card: str

    @property
    def address(self) -> str:
        return f"models:/{self.name}@{self.alias}"


def promote(
    run: str, alias: str = "champion", *, name: str | None = None, workspace: Workspace | None = None
) -> Promoted:
    """Register the student of a finished run and let `alias` name it.

    The same run is the same version, however often it is promoted. The model's name is the run's unless given.
    """
    check_names(name, alias)
    workspace = workspace or Workspace.default()
    uri = tracking_uri(workspace.root)
    busy = f"{workspace.root}: another process has been promoting for {PATIENCE:.0f} s. Try again when it has ended."
    with tempfile.TemporaryDirectory() as scratch, holding(workspace.root / "promote.lock", PATIENCE, busy):
        recorded = finished(find(run, workspace, Path(scratch)))
        named = name or recorded.record.config["name"]
        check_names(named, alias)
        card = _card(recorded)
        measured = _measured(recorded.record, card)
        run_id = recorded.run_id or delivered(recorded.record, workspace.root, uri)
        origin = _origin(recorded, run_id, card)
        text = markdown(card, measured, origin)
        version = publish(uri, run_id, named, alias, text, _tags(recorded, card, measured))
    return Promoted(version.name, version.number, alias, version.made, run_id, measured, text)


def _card(recorded: Recorded) -> StudentCard:
    path = recorded.record.folder / "student" / CARD
    if not path.is_file():
        raise UserError(f"{recorded.key}: its student is not there; somebody deleted it, here or in MLflow. {REMEDY}")
    return read_card(StudentCard, path, REMEDY)


def _measured(record: TrialRecord, card: StudentCard) -> list[Estimate]:
    path = record.folder / TEST
    if not path.is_file():
        raise UserError(f"{path}: missing, so nothing says how well this student does. Restore it, or train it again.")
    return estimates(pd.read_parquet(path), card)


def _origin(recorded: Recorded, run_id: str, card: StudentCard) -> Origin:
    begin = recorded.begins[-1]
    return Origin(
        recorded.key,
        run_id,
        begin["config"],
        begin["provenance"],
        _others(recorded.record.folder / "probe.parquet", card),
        recorded.record.test_reads,
    )


def _others(probe: Path, card: StudentCard) -> tuple[str, ...]:
    """The categories of the data that are not the student's, as far as the record names them."""
    if card.mode == "closed" or not probe.is_file():
        return ()
    frame = pd.read_parquet(probe)
    taught = [name.removeprefix("teacher/") for name in frame if name.startswith("teacher/")]
    return tuple(name for name in taught or sorted(set(frame["label"])) if name not in card.categories)


def _tags(recorded: Recorded, card: StudentCard, measured: list[Estimate]) -> dict[str, str]:
    found = {
        "selkd.trial": recorded.key,
        "selkd.mode": card.mode,
        "selkd.categories": json.dumps(card.categories, ensure_ascii=False),
        "selkd.weights_sha256": card.weights_sha256,
    }
    if card.threshold is not None:
        found["selkd.threshold"] = repr(card.threshold)
    whole = measured[: len(measured) - sum(one.name in card.categories for one in measured)]
    return found | {f"selkd.test.{one.name}": f"{one.value:.4f} [{one.low:.4f}, {one.high:.4f}]" for one in whole}
