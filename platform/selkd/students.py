"""Recorded students put to use: score again, predict, export."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from PIL import Image, UnidentifiedImageError

from selkd.config import RunConfig, Workspace
from selkd.errors import UserError, nearest
from selkd.files import read_json
from selkd.models.deploy import Deployed
from selkd.models.deploy import export as export_program
from selkd.tracking import StudentCard, TrialRecord, load_student
from selkd.training.evaluation import scored
from selkd.training.setup import Setup, device_of
from selkd.training.workers import Workers

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff"}


def find(student: str, workspace: Workspace | None = None) -> Path:
    """The folder of a student, by run key, unique beginning of a key, or path."""
    runs = (workspace or Workspace.default()).runs
    for folder in (Path(student), Path(student) / "student", runs / student / "student"):
        if (folder / "card.json").is_file():
            return folder
    known = sorted(p.parent.parent.name for p in runs.glob("*/student/card.json"))
    begins = [key for key in known if key.startswith(student)]
    if len(begins) == 1:
        return runs / begins[0] / "student"
    if begins:
        raise UserError(f"{student!r} may be any of {', '.join(begins[:5])}. Write more of the key.")
    raise UserError(f"{student!r} is neither a run in {runs} nor a folder with a student. {nearest(student, known)}")


def deployed(student: str, workspace: Workspace | None = None) -> tuple[Deployed, StudentCard]:
    """A student with its threshold, ready to answer."""
    classifier, card = load_student(find(student, workspace))
    return Deployed(classifier, len(card.categories), card.threshold).eval(), card


def evaluate(
    student: str, part: Literal["validation", "test"] = "validation", workspace: Workspace | None = None
) -> dict[str, float]:
    """Metrics of a recorded student on a part of its run's rows; each reading of the test split is counted."""
    workspace = workspace or Workspace.default()
    folder = find(student, workspace)
    classifier, card = load_student(folder)
    record = TrialRecord(folder.parent)
    config = RunConfig.model_validate(record.config)
    setup = Setup.of(config, workspace, Workers(), device_of(config))
    if part == "test":
        record.count_test_read()
    model = classifier.to(setup.device, setup.dtype)
    return scored(setup, model, getattr(setup.splits, part)).metrics(card.threshold)


@torch.no_grad()
def predict(student: str, images: Sequence[Path], workspace: Workspace | None = None) -> pd.DataFrame:
    """One line an image file: file, answer, probability of the answer, and of every output."""
    model, card = deployed(student, workspace)
    files = [f for path in images for f in (_images_below(path) if path.is_dir() else [path])]
    if not files:
        raise UserError(
            f"no image files in {', '.join(map(str, images))}. Endings known: {', '.join(sorted(ENDINGS))}."
        )
    names = [*card.categories, *(["not selected"] if card.mode == "open" else [])]
    frames = []
    for start in range(0, len(files), 256):
        batch = files[start : start + 256]
        answer, probabilities = model(torch.stack([_read(f, card) for f in batch]))
        frame = pd.DataFrame({"file": batch, "answer": [names[i] for i in answer.tolist()]})
        frame["probability"] = probabilities.gather(1, answer[:, None]).flatten().numpy()
        frames.append(frame.join(pd.DataFrame(probabilities.numpy(), columns=[f"p/{n}" for n in names])))
    return pd.concat(frames, ignore_index=True)


def export(student: str, path: Path, workspace: Workspace | None = None) -> float:
    """Write a student as a torch.export program; returns its largest difference from the student."""
    folder = find(student, workspace)
    model, card = deployed(student, workspace)
    shape = (card.channels, card.image_size, card.image_size)
    return export_program(model, read_json(folder / "card.json"), shape, path)


def _images_below(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in ENDINGS)


def _read(path: Path, card: StudentCard) -> torch.Tensor:
    try:
        with Image.open(path) as file:
            image = file.convert("L" if card.channels == 1 else "RGB").resize((card.image_size,) * 2)
        pixels = np.asarray(image, dtype=np.float32) / 255
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, UnidentifiedImageError) as error:
        raise UserError(f"{path}: not a readable image ({error})") from None
    return torch.from_numpy(pixels.reshape(card.image_size, card.image_size, -1)).permute(2, 0, 1)
