"""What a trial costs, and what the driver holds, in a study of 1,000 very short trials: its end against its first 50.

Goal: at most 1.1 times the cost, at most 50 MB more. `python -m benchmarks sweep_growth`, or `sweep_growth tpe`
for that sampler.
"""

import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from benchmarks import _sweeps

TRIALS, WINDOW = 1000, 50


def main(arguments: list[str]) -> None:
    sampler = arguments[0] if arguments else "random"
    trials = int(arguments[1]) if len(arguments) > 1 else TRIALS
    base = {
        "data": {"rows_per_category": 20},
        "task": {"categories": ["three", "five"]},
        "student": {"model": "mlp"},
        "training": {"epochs": 1, "batch_size": 20},
        "workers": {"device": "cpu"},
    }
    content = _sweeps.space(
        "growth", trials, 1, base=base, teacher=None, sampler=sampler, metrics={"validation/accuracy": "maximise"},
        search={"training.optimiser.lr": {"log": [1e-4, 0.1]}, "training.optimiser.momentum": {"uniform": [0.0, 0.9]}},
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="selkd-bench-") as name:
        folder = Path(name)
        driver = _sweeps.start(folder, content)
        memory: list[tuple[float, float]] = []
        watching = threading.Thread(target=_watch, args=(driver.pid, memory), daemon=True)
        watching.start()
        if driver.wait():
            sys.exit((folder / "sweep.log").read_text()[-2000:])
        ends = [e["time"] / 1000 for e in _sweeps.events(folder, "growth") if e["event"] == "trial"]
    gaps = [
        (ends[start + WINDOW - 1] - ends[start]) / (WINDOW - 1) for start in range(0, len(ends) - WINDOW + 1, WINDOW)
    ]
    first, last = gaps[0], statistics.median(gaps[-4:])
    held = {when: _at(memory, ends[index]) for when, index in (("first", WINDOW - 1), ("last", len(ends) - 1))}
    print(f"{sampler}, {len(ends)} trials: {1000 * first:.0f} ms a trial at {WINDOW}, {1000 * last:.0f} ms at the end:")
    print(f"{last / first:.2f} times (goal 1.1)")
    print(f"driver memory {held['first']:.0f} MB and {held['last']:.0f} MB: {held['last'] - held['first']:.0f} MB more")


def _watch(pid: int, memory: list[tuple[float, float]]) -> None:
    """The driver's own memory, every second."""
    try:
        process = psutil.Process(pid)
        while True:
            memory.append((time.time(), process.memory_full_info().uss / 1e6))
            time.sleep(1)
    except psutil.Error:
        return


def _at(memory: list[tuple[float, float]], moment: float) -> float:
    return min(memory, key=lambda sample: abs(sample[0] - moment))[1]
