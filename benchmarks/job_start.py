"""From `selkd submit` to the first training step, over a bare Ray job that trains the same student. Goal: 1.3 times.

Both jobs go to one head with a token, in turn. The bare one is what Ray's pages show: `_bare_job.py` sends a script
that knows torch alone. Each is timed from the start of the process that submits it. The teacher's answers are stored
before.

The first step of ours is read from the ledger: when its first epoch was logged, less what its rows took. That leaves
one validation in, so the figure is a little too large.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

import selkd
from benchmarks import _bare_job
from selkd.cluster import head
from selkd.cluster.submission import find
from selkd.config import RunConfig, Workspace
from selkd.tracking import TrialRecord
from selkd.training.run import Recording, train
from selkd.training.setup import Setup, device_of
from selkd.training.teach import teach
from selkd.training.workers import Workers

GOAL = 1.3
PATIENCE = 120.0
TEACHER = {
    "name": "bench-teacher",
    "student": {"model": "cnn", "width": _bare_job.TEACHER_WIDTH},
    "training": {"epochs": 3},
}
STUDENT: dict[str, Any] = {
    "task": {"categories": ["three", "five", "eight", "nine"]},
    "teacher": "bench-teacher",
    "student": {"model": "cnn", "width": _bare_job.WIDTH},
    "objective": {"name": "kd", "temperature": _bare_job.TEMPERATURE},
    "training": {"epochs": _bare_job.EPOCHS, "batch_size": _bare_job.BATCH, "keep": "last"},
    "workers": {"device": "cpu"},
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="selkd-bench-") as name:
        folder = Path(name)
        workspace = Workspace(folder / "workspace")
        tree = _prepare(folder / "tree", workspace)
        os.environ["PYTHONPATH"] = str(Path(selkd.__file__).parents[1])
        running = head.up(workspace, cpus=2)
        try:
            sides = {"selkd": lambda n: _ours(tree, workspace, running, n), "bare": lambda n: _bare(tree, running, n)}
            taken: dict[str, list[float]] = {side: [] for side in sides}
            for number in range(options.rounds):
                for side in sides if number % 2 == 0 else reversed(sides):
                    taken[side].append(sides[side](number))
                    print(f"round {number + 1}, {side}: {taken[side][-1]:.1f} s", flush=True)
        finally:
            head.down(workspace)
    ours, bare = (statistics.median(values) for values in taken.values())
    print(
        f"submit to first training step, medians of {options.rounds}: {ours:.1f} s; a bare Ray job {bare:.1f} s; "
        f"{ours / bare:.2f} times (goal: at most {GOAL:g})"
    )


def _prepare(tree: Path, workspace: Workspace) -> Path:
    """A teacher and its answers, and a working tree with all that either side needs."""
    tree.mkdir()
    teach(TEACHER, workspace)
    config = RunConfig.of({"name": "first", **STUDENT})
    train(config, workspace, recording=Recording(deliver=False, figures=False))
    setup = Setup.of(config, workspace, Workers(), device_of(config))
    batches, [teacher] = setup.batches(), setup.teachers
    known, images = teacher.card.categories, setup.splits.train.pixels(batches.positions).float() / 255
    torch.save(
        {
            "images": (images - teacher.classifier.mean) / teacher.classifier.std,
            "labels": batches.labels,
            "selected": torch.tensor([known.index(name) for name in setup.task.names]),
            "categories": len(known),
            "teacher": teacher.classifier.network.state_dict(),
        },
        tree / "rows.pt",
    )
    shutil.copy(_bare_job.__file__, tree)
    (tree / "student.yaml").write_text(yaml.safe_dump(STUDENT))
    return tree


def _ours(tree: Path, workspace: Workspace, running: head.Head, number: int) -> float:
    """Submitted by the command line; another name is another student."""
    name = f"student-{number}"
    job = {
        "what": ["train", "student.yaml", f"name={name}"],
        "where": {"ray": running.address},
        "driver": {"cpus": 1},
    }
    (tree.parent / "job.yaml").write_text(yaml.safe_dump(job))
    command = [sys.executable, "-m", "selkd", "submit", str(tree.parent / "job.yaml"), f"name={name}"]
    variables = {**os.environ, "SELKD_WORKSPACE": str(workspace.root)}
    began = time.time()
    subprocess.run(command, check=True, cwd=tree, env=variables, stdout=subprocess.DEVNULL)
    submission = find(name, workspace)
    if submission.wait(PATIENCE).status != "succeeded":
        raise RuntimeError("".join(submission.logs()))
    [folder] = workspace.runs.glob(f"{name}-*")
    first = next(event for event in TrialRecord(folder).ledger.events() if event["event"] == "log")
    rows = len(torch.load(tree / "rows.pt", weights_only=True)["images"])
    return first["time"] / 1000 - rows / first["metrics"]["train/rows_per_second"] - began


def _bare(tree: Path, running: head.Head, number: int) -> float:
    moment = tree.parent / f"moment-{number}"
    command = [sys.executable, _bare_job.__file__, "submit", running.address, str(tree), str(moment)]
    variables = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(running.token)}
    began = time.time()
    subprocess.run(command, check=True, env=variables)
    return float(moment.read_text()) - began


if __name__ == "__main__":
    main()
