"""Teachers brought into the repository: finished students, other people's teachers, files of weights."""

import tempfile
from pathlib import Path

from selkd.config import Workspace
from selkd.errors import UserError
from selkd.models.card import CARD, WEIGHTS, read_card
from selkd.models.teachers import DataCard, TeacherCard, TeacherDescription, TeacherRepository
from selkd.recorded import Recorded, find, finished
from selkd.tracking import StudentCard
from selkd.tracking.record import LEDGER
from selkd.tracking.student import REMEDY

OF_FOLDER = "Copy the folder again from where it came."
OF_FILE = "It says what `card.json` of a teacher says, without name, created_by and weights_sha256."


def add(
    source: str, name: str | None = None, *, description: Path | None = None, workspace: Workspace | None = None
) -> TeacherCard:
    """Make a teacher of a finished closed student, of a teacher's folder, or of weights and their description.

    `source` is a run's key, folder or MLflow id; a folder with `card.json`; or, with `description`, a file of weights.
    """
    workspace = workspace or Workspace.default()
    repository, path = TeacherRepository(workspace.teachers), Path(source)
    if description is not None:
        told = read_card(TeacherDescription, description, OF_FILE)
        return repository.add(name or path.stem, path, told)
    if path.name == "student" and (path.parent / LEDGER).is_file():
        source = str(path.parent)
    elif source and (path / CARD).is_file():
        card = read_card(TeacherCard, path / CARD, OF_FOLDER)
        return repository.add(name or card.name, path / WEIGHTS, card)
    if path.is_file():
        raise UserError(f"{source}: nothing says what these weights are. Give --description FILE.json.")
    with tempfile.TemporaryDirectory() as scratch:
        recorded = finished(find(source, workspace, Path(scratch)))
        folder = recorded.record.folder / "student"
        if not (folder / CARD).is_file():
            raise UserError(f"{recorded.key}: its student is not there; somebody deleted it. {REMEDY}")
        described = _described(recorded, read_card(StudentCard, folder / CARD, REMEDY))
        return repository.add(name or recorded.record.config["name"], folder / WEIGHTS, described)


def _described(recorded: Recorded, card: StudentCard) -> TeacherDescription:
    """What a student's record tells of it as a teacher."""
    if card.mode == "open":
        raise UserError(
            f'{recorded.key}: an open student answers "not selected", which is no category to teach. '
            "Train it with task.mode: closed."
        )
    metrics = recorded.record.metrics
    return TeacherDescription(
        **card.model_dump(include=set(TeacherDescription.model_fields) - {"data", "accuracy", "validation_accuracy"}),
        data=DataCard(
            name=recorded.record.config["data"]["source"], fingerprint=recorded.fingerprints.get("data") or ""
        ),
        accuracy={name: metrics[f"validation/accuracy/{name}"] for name in card.categories},
        validation_accuracy=metrics["validation/accuracy"],
    )
