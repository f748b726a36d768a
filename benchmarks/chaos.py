"""Kill something of a study every few seconds, until it is finished; then compare with a study nobody disturbed.

`python -m benchmarks chaos` runs for ten minutes; `python -m benchmarks chaos SECONDS [SEED]` as long as you say.
Nothing may be lost: each trial ends once, and candidates, seeds and metrics equal those of the undisturbed study.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from selkd.config import Workspace
from selkd.sweeps.state import ENDED, State
from selkd.tracking import StudyRecord

PAUSE = (4.0, 14.0)
"""Seconds between two faults, drawn uniformly."""
BEFORE_IT_TRAINS = 0.2
"""How often faults begin before a new driver's first student trains; always, and no student would ever train."""
VICTIMS = ("driver", "trial", "raylet", "gcs", "interrupt", "torn ledger")
MARKS = {"trial": "Trainable.train", "raylet": "raylet/raylet", "gcs": "gcs_server"}
DRIVER = """
import sys
from pathlib import Path
from selkd.config import Workspace
from selkd.sweeps.run import sweep
if __name__ == "__main__":
    sweep(sys.argv[1], Workspace(Path(sys.argv[2])))
"""


def space(candidates: int, epochs: int = 40) -> dict[str, Any]:
    """Students of about five seconds; proposals that do not look at results, so that the end is comparable."""
    return {
        "name": "chaos",
        "base": {
            "data": {"source": "digits", "rows_per_category": 30},
            "task": {"categories": ["three", "five", "eight", "nine"], "mode": "open"},
            "student": {"model": "cnn", "width": 8},
            "training": {"epochs": epochs, "batch_size": 32},
        },
        "teacher": {"name": "chaos-teacher", "student": {"model": "cnn", "width": 8}, "training": {"epochs": 3}},
        "search": {
            "objective.name": {"choice": ["cross-entropy", "kd", "selkd"]},
            "objective.epsilon": {"log": [0.5, 8.0]},
            "objective.temperature": {"log": [1.0, 8.0]},
        },
        "metrics": {"validation/balanced": "maximise"},
        "budget": {"candidates": candidates, "seeds": 2},
        "sampler": "random",
    }


@dataclass
class Report:
    """What was done to a study, and what became of it."""

    kills: Counter[str] = field(default_factory=Counter)
    drivers: int = 0
    seconds: float = 0.0
    trials: int = 0
    lost: int = 0  # trials without an end
    doubled: int = 0  # trials with two ends
    different: int = 0  # candidates that differ from the undisturbed study's
    left_running: int = 0
    repeated_seconds: float = 0.0


def chaos(folder: Path, seconds: float, candidates: int, seed: int = 0, pause: tuple[float, float] = PAUSE) -> Report:
    """Disturb a study for so many seconds, let it finish, and compare it."""
    import yaml

    rng, report = random.Random(seed), Report()
    file, script = folder / "chaos.yaml", folder / "driver.py"
    file.write_text(yaml.safe_dump(space(candidates)))
    script.write_text(DRIVER)
    workspace = Workspace(folder / "disturbed")
    began = time.monotonic()
    while True:
        with _driver(script, file, workspace, folder / "driver.log") as driver:
            report.drivers += 1
            if rng.random() > BEFORE_IT_TRAINS:
                _until_it_trains(driver, workspace)
            while driver.poll() is None:
                left = began + seconds - time.monotonic()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    driver.wait(rng.uniform(*pause) if left > 0 else None)
                if driver.poll() is None and left > 0:
                    victims = rng.sample(VICTIMS, len(VICTIMS))
                    report.kills[next(victim for victim in victims if _strike(victim, driver, workspace))] += 1
            if driver.returncode == 0 and State.of(_events(workspace)).finished:
                break
            if time.monotonic() - began > seconds + 600:
                raise RuntimeError(f"the study did not finish; see {folder / 'driver.log'}")
    report.seconds = time.monotonic() - began
    calm = Workspace(folder / "calm")
    with _driver(script, file, calm, folder / "calm.log") as driver:
        driver.wait()
    _compare(report, workspace, calm)
    return report


@contextlib.contextmanager
def _driver(script: Path, file: Path, workspace: Workspace, log: Path):
    """A driver in a process of its own, and afterwards none of the processes that it started."""
    with log.open("ab") as out:
        driver = subprocess.Popen(
            [sys.executable, str(script), str(file), str(workspace.root)],
            stdout=out, stderr=out, start_new_session=True, cwd=script.parent,
            env={**os.environ, "CHAOS": str(workspace.root), "MLFLOW_TRACKING_URI": f"sqlite:///{workspace.root}.db"},
        )  # fmt: skip
        try:
            yield driver
        finally:
            for process in _family(workspace):
                with contextlib.suppress(psutil.Error):
                    process.kill()
            driver.wait()


def _family(workspace: Workspace) -> list[psutil.Process]:
    """The processes of this workspace's driver and of its Ray, known by the environment that they inherit."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("CHAOS") == str(workspace.root):
                found.append(process)
    return found


def _until_it_trains(driver: "subprocess.Popen[bytes]", workspace: Workspace) -> None:
    """Wait for the first process that trains a student, as long as the driver lives."""
    while driver.poll() is None and not _processes(workspace, MARKS["trial"]):
        time.sleep(0.5)


def _processes(workspace: Workspace, mark: str) -> list[psutil.Process]:
    found = []
    for process in _family(workspace):
        with contextlib.suppress(psutil.Error):
            if mark in " ".join(process.cmdline()):
                found.append(process)
    return found


def _strike(victim: str, driver: "subprocess.Popen[bytes]", workspace: Workspace) -> bool:
    """Do it; whether there was anything to do it to."""
    if victim == "interrupt":
        driver.send_signal(signal.SIGINT)
        return True
    if victim == "driver":
        driver.kill()
        driver.wait()
        return True
    if victim == "torn ledger":
        driver.kill()
        driver.wait()
        return _tear(workspace.studies / "chaos" / "ledger.jsonl")
    for process in _processes(workspace, MARKS[victim]):
        with contextlib.suppress(psutil.Error):
            process.kill()
            return True
    return False


def _tear(ledger: Path) -> bool:
    """Append half a line, as a kill in the middle of a write leaves it."""
    if not ledger.is_file():
        return False
    with ledger.open("ab") as file:
        file.write(ledger.read_bytes().splitlines()[-1][:40])
    return True


def _events(workspace: Workspace) -> list[dict[str, Any]]:
    return StudyRecord(workspace.studies / "chaos").ledger.events()


def _compare(report: Report, disturbed: Workspace, calm: Workspace) -> None:
    events = _events(disturbed)
    state, expected = State.of(events), State.of(_events(calm))
    ends = Counter(e["key"] for e in events if e["event"] == "trial" and e["status"] in ENDED)
    report.trials = len(state.trials)
    report.lost = sum(not trial.ended for trial in state.trials.values())
    report.doubled = sum(count > 1 for count in ends.values())
    report.different = sum(_told(state, n) != _told(expected, n) for n in {*state.candidates, *expected.candidates})
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{disturbed.root}.db")
    experiments = [e.experiment_id for e in client.search_experiments()]
    runs = client.search_runs(experiments, max_results=10_000)
    report.left_running = sum(run.info.status == "RUNNING" for run in runs)
    trials = Counter(run.data.tags["selkd.trial"] for run in runs)
    report.doubled += sum(count > 1 for count in trials.values())
    spent = sum(t.seconds for t in state.trials.values())
    report.repeated_seconds = spent - sum(t.seconds for t in expected.trials.values())


def _told(state: State, number: int) -> Any:
    """What must be equal: parameters, verdict, means, and every metric of every seed, times aside."""
    candidate = state.candidates.get(number)
    if candidate is None:
        return None
    trials = [
        (t.seed, t.role, t.status, {k: v for k, v in t.metrics.items() if "latency" not in k})
        for t in state.of_candidate(candidate)
    ]
    return candidate.parameters, candidate.verdict, candidate.values, trials


def main(arguments: list[str]) -> None:
    seconds, seed = (int(value) for value in (arguments + ["600", "0"][len(arguments) :]))
    with tempfile.TemporaryDirectory(prefix="selkd-chaos-") as folder:
        report = chaos(Path(folder), seconds, candidates=max(8, seconds // 20), seed=seed)
    print(f"{report.seconds:.0f} s, {report.drivers} drivers, {report.trials} trials; faults: {dict(report.kills)}")
    print(f"trials lost {report.lost}, recorded twice {report.doubled}, left running in MLflow {report.left_running}")
    print(f"candidates that differ from the undisturbed study's: {report.different}")
    print(f"training seconds beyond the undisturbed study's: {report.repeated_seconds:.0f}")


if __name__ == "__main__":
    main(sys.argv[1:])
