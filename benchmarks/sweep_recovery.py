"""Training that is repeated after the driver of a study was killed. Goal: at most one checkpoint interval a trial.

A checkpoint is written every epoch, so that is the interval. What was repeated is the epochs that were begun twice.
"""

import itertools
import os
import signal
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks import _sweeps
from selkd.config import Workspace
from selkd.tracking import TrialRecord
from selkd.training.checkpoints import Checkpoints

KILLS, EPOCHS = 4, 80


def main(arguments: list[str]) -> None:
    lost: list[float] = []
    intervals: list[float] = []
    with tempfile.TemporaryDirectory(prefix="selkd-bench-") as name:
        folder = Path(name)
        runs = Workspace(folder).runs
        content = _sweeps.space("recovery", 2, EPOCHS)
        for _ in range(KILLS):
            driver = _sweeps.start(folder, content)
            begun = {path: TrialRecord(path).progress[0] for path in runs.glob("*") if path.name != "bench-teacher"}
            while driver.poll() is None and not _moved(runs, begun):
                time.sleep(0.05)
            time.sleep(1.5)
            killed = time.time()
            os.killpg(driver.pid, signal.SIGKILL)
            driver.wait()
            time.sleep(8)  # Ray's processes notice and go
            for path in runs.glob("recovery-*"):
                record = TrialRecord(path)
                if record.status == "running" and (state := Checkpoints(path / "checkpoints").last()) is not None:
                    saved = (path / "checkpoints" / "index.json").stat().st_mtime
                    lost.append(max(0.0, killed - saved))
                    times = [e["time"] / 1000 for e in record.ledger.events() if e["event"] == "log"]
                    intervals.append(statistics.median(b - a for a, b in itertools.pairwise(times)))
                    del state
        if _sweeps.start(folder, content).wait():
            raise RuntimeError("the study did not finish")
        events = _sweeps.events(folder, "recovery")
    ends = [e["key"] for e in events if e["event"] == "trial" and e["status"] == "finished"]
    print(
        f"{KILLS} kills of the driver, {len(lost)} running trials: seconds trained again, median "
        f"{statistics.median(lost):.2f}, most {max(lost):.2f}; an epoch takes {statistics.median(intervals):.2f} s"
    )
    print(f"trials finished {len(ends)}, twice {len(ends) - len(set(ends))}")


def _moved(runs: Path, begun: dict[Path, int]) -> bool:
    """Whether every student has trained further than it had."""
    now = {path: TrialRecord(path).progress[0] for path in runs.glob("recovery-*")}
    return len(now) >= 2 and all(count > begun.get(path, 0) for path, count in now.items())
