"""Students an hour of a study on two nodes of one CPU, over the same study on one node of two. Goal: at least 0.9.

All nodes are processes of this machine, so the network between them costs less than a real one; what is measured is
what Ray and the study themselves cost. Each side runs in processes of its own, in turn; from the first student's start
to the last one's end.
"""

import argparse
import secrets
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import _sweeps
from selkd.config import Workspace

GOAL = 0.9
SIDES: dict[str, tuple[int, ...]] = {"one": (2,), "two": (1, 1)}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--students", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--side", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.side:
        side, folder = options.side
        _study(side, Path(folder), options.students, options.epochs)
        return
    taken: dict[str, list[float]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory(prefix="selkd-bench-") as name:
        for number in range(options.rounds):
            for side in SIDES if number % 2 == 0 else reversed(SIDES):
                folder = Path(name) / f"{side}-{number}"
                folder.mkdir()
                sizes = [f"--students={options.students}", f"--epochs={options.epochs}"]
                command = [sys.executable, "-m", "benchmarks.two_nodes", *sizes, "--side", side, str(folder)]
                environment = _sweeps.environment(folder) | {
                    "RAY_AUTH_MODE": "token",
                    "RAY_AUTH_TOKEN": secrets.token_hex(32),
                }
                with (folder / "log").open("wb") as log:
                    subprocess.run(command, check=True, stdout=log, stderr=log, env=environment)
                taken[side].append(_sweeps.span(_sweeps.events(folder, "nodes")))
                print(f"round {number + 1}, {side}: {taken[side][-1]:.1f} s", flush=True)
    hourly = {side: 3600 * options.students / statistics.median(values) for side, values in taken.items()}
    print(
        f"students an hour, medians of {options.rounds}: one node of two CPUs {hourly['one']:.0f}, two nodes of one "
        f"{hourly['two']:.0f}; {hourly['two'] / hourly['one']:.2f} times (goal: at least {GOAL:g})"
    )


def _study(side: str, folder: Path, students: int, epochs: int) -> None:
    from benchmarks._nodes import nodes
    from selkd.sweeps.run import sweep

    with nodes(*SIDES[side]):
        sweep(_sweeps.space("nodes", students, epochs), Workspace(folder))


if __name__ == "__main__":
    main()
