"""What became of a study: the words in which tests compare a disturbed one with one that nobody disturbed."""

from collections import Counter
from typing import Any

from selkd.sweeps.studies import Study
from selkd.tracking import StudyRecord


def told(study: Study) -> list[Any]:
    """Candidates, seeds and metrics of a finished study."""
    assert study.status == "finished"
    table = study.trials().drop(columns=["key", "seconds", "reason", "cost/latency_ms"])
    return table.sort_values(["candidate", "seed"]).to_dict("records")


def ends(study: Study) -> Counter[str]:
    """How often each trial is said to have ended."""
    events = StudyRecord(study.folder).ledger.events()
    return Counter(e["key"] for e in events if e["event"] == "trial" and e["status"] != "stopped")
