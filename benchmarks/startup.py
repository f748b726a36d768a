"""How long a person waits: `selkd --help`, and `selkd demo` until its teacher makes the first training step.

The first step is read from the teacher's ledger: the time at which its first epoch was logged, less what that epoch
took (its rows over its rows a second). That leaves one validation of 144 rows in, so the figure is a little too large.
The demonstration runs in an empty folder and is interrupted when it is seen to train.
"""

import argparse
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from selkd.tracking import Ledger

GOAL = 0.5
HEAVY = ("torch", "ray", "mlflow", "numpy", "pandas")
COMMAND = str(Path(sys.executable).with_name("selkd"))
PATIENCE = 300.0
ROWS = 1293  # digits' training part
PROBE = f"""
import sys
sys.argv = ["selkd", "--help"]
from selkd.cli import main
try:
    main()
except SystemExit:
    print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""


def help_seconds() -> tuple[float, float]:
    """Elapsed and processor time of `selkd --help`; they differ where others use the machine."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([COMMAND, "--help"], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, used


def heavy_imports() -> str:
    """Which heavy packages `selkd --help` imports, as a list in words."""
    return subprocess.run([sys.executable, "-c", PROBE], check=True, capture_output=True, text=True).stderr.strip()


def demo_seconds() -> tuple[float, float]:
    """From the start of `selkd demo` to its first output, and to the teacher's first training step."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {key: value for key, value in os.environ.items() if key != "SELKD_WORKSPACE"}
        output = Path(folder) / "output"
        began = time.time()
        with output.open("wb") as file:
            demo = subprocess.Popen([COMMAND, "demo"], cwd=folder, env=environment, stdout=file, stderr=file)
        try:
            spoke = None
            while (stepped := _first_step(Path(folder) / ".selkd/runs")) is None:
                if spoke is None and output.stat().st_size:
                    spoke = time.time()
                if demo.poll() is not None or time.time() - began > PATIENCE:
                    sys.exit(f"selkd demo did not train:\n{output.read_text()}")
                time.sleep(0.05)
        finally:
            demo.send_signal(signal.SIGINT)
            demo.wait()
    assert spoke is not None, "an epoch was over before anything was printed"
    return spoke - began, stepped - began


def _first_step(runs: Path) -> float | None:
    """When the first epoch of the teacher began, once it is over."""
    for path in runs.glob("digits-teacher-*/ledger.jsonl"):
        for event in Ledger(path).events():
            if event["event"] == "log":
                return event["time"] / 1000 - ROWS / event["metrics"]["train/rows_per_second"]
    return None


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(argv)
    waits = [help_seconds() for _ in range(options.repeats + 1)][1:]
    elapsed, used = (statistics.median(found) for found in zip(*waits, strict=True))
    print(f"selkd --help: {elapsed:.2f} s, of them {used:.2f} s of processor time (goal: under {GOAL:g} s)")
    print(f"selkd --help imports, of {', '.join(HEAVY)}: {heavy_imports()} (goal: none)", flush=True)
    spoke, stepped = (statistics.median(found) for found in zip(*(demo_seconds() for _ in range(3)), strict=True))
    print(f"selkd demo: first output after {spoke:.1f} s, first training step after {stepped:.1f} s, median of 3")


if __name__ == "__main__":
    main()
