"""What the benchmarks of studies share: their search space, and studies in a process of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from selkd.config import Workspace
from selkd.tracking import StudyRecord

SWEEP = """
import sys
from pathlib import Path
from selkd.config import Workspace
from selkd.sweeps.run import sweep
if __name__ == "__main__":
    sweep(sys.argv[1], Workspace(Path(sys.argv[2])))
"""


def space(name: str, candidates: int, epochs: int, **changes: Any) -> dict[str, Any]:
    """Open SelKD students of the digits; random proposals, so that both sides of a comparison train the same."""
    content: dict[str, Any] = {
        "name": name,
        "base": {
            "task": {"categories": ["three", "five", "eight", "nine"], "mode": "open"},
            "student": {"model": "cnn", "width": 8},
            "objective": "selkd",
            "training": {"epochs": epochs, "batch_size": 32},
            "workers": {"device": "cpu"},
        },
        "teacher": {"name": "bench-teacher", "student": {"model": "cnn", "width": 16}, "training": {"epochs": 3}},
        "search": {"objective.epsilon": {"log": [0.5, 8.0]}, "objective.gamma": {"uniform": [0.1, 1.0]}},
        "metrics": {"validation/balanced": "maximise"},
        "budget": {"candidates": candidates},
        "sampler": "random",
    }
    return content | changes


def environment(folder: Path) -> dict[str, str]:
    """One thread a process, and no side that yields to the other: Ray gives its workers a low priority."""
    own = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}
    return {**os.environ, **own}


def start(folder: Path, content: dict[str, Any]) -> "subprocess.Popen[bytes]":
    """A driver of the study, in a process of its own."""
    (folder / "space.json").write_text(json.dumps(content))
    (folder / "sweep.py").write_text(SWEEP)
    command = [sys.executable, str(folder / "sweep.py"), str(folder / "space.json"), str(folder)]
    log = (folder / "sweep.log").open("ab")
    return subprocess.Popen(command, env=environment(folder), stdout=log, stderr=log, start_new_session=True)


def run(folder: Path, content: dict[str, Any]) -> list[dict[str, Any]]:
    """Run a study to its end; the events of its ledger."""
    if start(folder, content).wait():
        raise RuntimeError((folder / "sweep.log").read_text()[-2000:])
    return events(folder, content["name"])


def events(folder: Path, name: str) -> list[dict[str, Any]]:
    return StudyRecord(Workspace(folder).studies / name).ledger.events()


def span(found: list[dict[str, Any]]) -> float:
    """Seconds from the first trial's start to the last one's end."""
    moments = [e["time"] for e in found if e["event"] in ("launch", "trial")]
    return (max(moments) - min(moments)) / 1000
