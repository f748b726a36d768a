"""The record of every trial: a local ledger that is the truth, and MLflow as its projection."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from selkd.tracking.courier import Courier, sync
from selkd.tracking.delivery import deliver, pending
from selkd.tracking.ledger import Ledger
from selkd.tracking.provenance import provenance
from selkd.tracking.record import TrialRecord
from selkd.tracking.server import reachable, tracking_uri
from selkd.tracking.study import StudyRecord

if TYPE_CHECKING:
    from selkd.tracking.student import StudentCard, load_student, save_student

__all__ = [
    "Courier",
    "Ledger",
    "StudentCard",
    "StudyRecord",
    "TrialRecord",
    "deliver",
    "load_student",
    "pending",
    "provenance",
    "reachable",
    "save_student",
    "sync",
    "tracking_uri",
]


def __getattr__(name: str) -> Any:
    """Students are networks, and torch takes seconds to import: who only reads records waits for none of it."""
    if name not in ("StudentCard", "load_student", "save_student"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("selkd.tracking.student"), name)
