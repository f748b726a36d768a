"""Recorded students put to use: score again, predict, export. They are here, or in MLflow."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
import torch

from selkd.config import Workspace
from selkd.data.sources import images
from selkd.errors import UserError, nearest
from selkd.files import read_json
from selkd.models.deploy import Deployed
from selkd.models.deploy import export as export_program
from selkd.recorded import Recorded, finished
from selkd.recorded import find as find_record
from selkd.store import store
from selkd.tracking import StudentCard, TrialRecord, load_student, tracking_uri
from selkd.tracking.fetching import fetch_student, is_address, source_of
from selkd.tracking.student import answers
from selkd.training.evaluation import scored
from selkd.training.run import same_origin
from selkd.training.setup import Setup, device_of
from selkd.training.workers import Workers

ROWS = 256  # images decoded at a time


PartName = Literal["validation", "test"]


@dataclass(frozen=True)
class Evaluated:
    """Metrics of a recorded student on a part of its run's rows."""

    key: str
    part: PartName
    metrics: dict[str, float]


def find(student: str, workspace: Workspace | None = None) -> Path:
    """The folder of a student, by run key, unique beginning of a key, or path."""
    if not student:
        raise UserError("student: the name is empty. Give a run's key, or a folder that holds a student.")
    runs = (workspace or Workspace.default()).runs
    for folder in (Path(student), Path(student) / "student", runs / student / "student"):
        if (folder / "card.json").is_file():
            return folder
    known = sorted({p.parent.parent.name for p in runs.glob("*/student/card.json")} | store().names("runs"))
    begins = [key for key in known if key.startswith(student)]
    if len(begins) == 1:
        folder = runs / begins[0] / "student"
        if not folder.exists():
            store().fetch(folder.parent)
        return folder
    if begins:
        raise UserError(f"{student!r} may be any of {', '.join(begins[:5])}. Write more of the key.")
    raise UserError(f"{student!r} is neither a run in {runs} nor a folder with a student. {nearest(student, known)}")


@contextmanager
def at_hand(student: str, workspace: Workspace | None = None) -> Iterator[Path]:
    """The folder of a student: one that `find` finds, or one fetched from a `models:/` or `runs:/` address."""
    if not is_address(student):
        yield find(student, workspace)
        return
    uri = tracking_uri((workspace or Workspace.default()).root)
    with tempfile.TemporaryDirectory() as place:
        yield fetch_student(uri, student, Path(place))


def deployed(student: str, workspace: Workspace | None = None) -> tuple[Deployed, StudentCard]:
    """A student with its threshold, ready to answer."""
    with at_hand(student, workspace) as folder:
        return _deployed(folder)


def _deployed(folder: Path) -> tuple[Deployed, StudentCard]:
    classifier, card = load_student(folder)
    return Deployed(classifier, len(card.categories), card.threshold).eval(), card


def evaluate(student: str, part: PartName = "validation", workspace: Workspace | None = None) -> Evaluated:
    """Metrics of a recorded student on a part of its run's rows; each reading of the test split is counted.

    The count is in the ledger of the machine that trained the student, so test rows are read there only.
    """
    workspace = workspace or Workspace.default()
    with tempfile.TemporaryDirectory() as place:
        recorded = _recorded(student, workspace, Path(place))
        record = recorded.record
        classifier, card = load_student(record.folder / "student")
        config = recorded.config()
        setup = Setup.of(config, workspace, Workers(), device_of(config))
        same_origin(record, setup)
        if part == "test":
            if recorded.run_id is not None:
                raise UserError(
                    f"{student}: readings of its test rows are counted where it was trained. Evaluate it there, or on "
                    "--part validation."
                )
            record.count_test_read()
        model = classifier.placed(setup.device, setup.dtype)
        metrics = scored(setup, model, getattr(setup.splits, part)).metrics(card.threshold)
    return Evaluated(recorded.key, part, metrics)


def _recorded(student: str, workspace: Workspace, scratch: Path) -> Recorded:
    """The record of a student, which says what its rows are."""
    if is_address(student):
        run_id = source_of(tracking_uri(workspace.root), student).run_id
        if run_id is None:
            raise UserError(f"{student}: MLflow knows no run that trained it, so its rows are unknown.")
        return finished(find_record(run_id, workspace, scratch))
    folder = find(student, workspace)
    record = TrialRecord(folder.parent)
    if record.status is None:
        raise UserError(
            f"{folder}: no record beside this student, so its rows are unknown. Evaluate it by its run's key, "
            "or inside its run's folder."
        )
    return Recorded(record)


@torch.no_grad()
def predict(student: str, paths: Sequence[Path], workspace: Workspace | None = None) -> pd.DataFrame:
    """One line an image file: file, category, whether it was rejected, and the probability of every output."""
    model, card = deployed(student, workspace)
    files = [f for path in paths for f in (_images_below(path) if path.is_dir() else [path])]
    if not files:
        raise UserError(
            f"no image files in {', '.join(map(str, paths))}. Endings known: {', '.join(sorted(images.SUFFIXES))}."
        )
    frames = []
    for start in range(0, len(files), ROWS):
        batch = files[start : start + ROWS]
        frame = answers(card, *model(torch.stack([_read(f, card) for f in batch])))
        frame.insert(0, "file", [str(f) for f in batch])
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def export(student: str, path: Path, workspace: Workspace | None = None) -> float:
    """Write a student as a torch.export program; returns its largest difference from the student."""
    with at_hand(student, workspace) as folder:
        model, card = _deployed(folder)
        shape = (card.channels, card.image_size, card.image_size)
        return export_program(model, read_json(folder / "card.json"), shape, path)


def _images_below(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in images.SUFFIXES)


def _read(path: Path, card: StudentCard) -> torch.Tensor:
    """Pixels in [0, 1], cut and scaled as in training."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    pixels = images.decode(path, (card.channels, card.image_size, card.image_size))
    return torch.tensor(pixels, dtype=torch.float32) / 255
