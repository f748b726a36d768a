"""A student that begins as another one: which that is, and whether it can."""

from pathlib import Path

from selkd.config import Workspace
from selkd.errors import UserError
from selkd.models.classifier import Classifier
from selkd.store import store
from selkd.tracking import StudentCard, load_student


def started(start: str, workspace: Workspace, wanted: StudentCard) -> tuple[Classifier, StudentCard]:
    """The finished student `start`, if it answers as the wanted one does; `wanted` has no weights yet."""
    classifier, card = load_student(folder_of(start, workspace))
    for key, field in (
        ("task.mode", "mode"), ("task.categories", "categories"), ("student.model", "architecture"),
        ("student", "settings"), ("data", "channels"), ("data", "image_size"), ("data", "mean"), ("data", "std"),
    ):  # fmt: skip
        theirs, ours = getattr(card, field), getattr(wanted, field)
        if theirs != ours:
            raise UserError(
                f"start: {start} is another kind of student, its {field} being {_told(theirs)} and here {_told(ours)}. "
                f"Change {key}, or begin as another student."
            )
    return classifier, card


def folder_of(start: str, workspace: Workspace) -> Path:
    """Where a finished student is: in a run of the workspace or its store, or in a folder."""
    run = workspace.runs / start
    if "/" not in start and not run.exists():
        store().bring([run])
    for folder in (run / "student", Path(start) / "student", Path(start)):
        if (folder / "card.json").is_file():
            return folder
    raise UserError(f"start: {start!r} is neither a finished run in {workspace.runs} nor a folder with a student.")


def _told(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
