"""The record of every trial: a local ledger that is the truth, and MLflow as its projection."""

from selkd.tracking.courier import Courier, sync
from selkd.tracking.delivery import deliver, pending
from selkd.tracking.ledger import Ledger
from selkd.tracking.provenance import provenance
from selkd.tracking.record import TrialRecord
from selkd.tracking.server import reachable, tracking_uri
from selkd.tracking.student import StudentCard, load_student, save_student
from selkd.tracking.study import StudyRecord

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
