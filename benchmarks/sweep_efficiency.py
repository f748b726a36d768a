"""Students of about 5 s by a study, against two plain processes that train the same ones without Ray, start-up apart.

Both sides train, score and record every student, and bring it to MLflow. They take turns, 12 students at a time, so
that four rounds (48 students a side) take about six minutes on two quiet cores. Other sizes:
`python -m benchmarks sweep_efficiency ROUNDS STUDENTS`. Goal: the plain side's wall time over ours at least 0.90.
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import _sweeps
from selkd.config import Workspace
from selkd.sweeps.proposals import Proposer
from selkd.sweeps.space import SearchSpace
from selkd.training.teach import teach

ROUNDS, STUDENTS, PROCESSES, EPOCHS = 4, 12, 2, 25
PLAIN = """
import json, sys, time
from pathlib import Path
import torch
from selkd.config import RunConfig, Workspace
from selkd.training.run import Recording, train
torch.set_num_threads(1)
configs = [RunConfig.model_validate(c) for c in json.loads(Path(sys.argv[1]).read_text())]
workspace = Workspace(Path(sys.argv[2]))
import selkd.sweeps.trainable  # what our actors import before their first student
print("ready", flush=True)
sys.stdin.readline()
for config in configs:
    train(config, workspace, recording=Recording(figures=False))
print("done", flush=True)
"""


def plain(folder: Path, space: SearchSpace) -> float:
    """Seconds in which processes train the study's students, an equal share each."""
    workspace = Workspace(folder)
    proposer = Proposer.of(space, workspace)
    parameters = [proposer.propose(number) for number in range(space.budget.candidates or 0)]
    configs = [space.config(p, space.seed).model_dump(mode="json") for p in parameters if p is not None]
    (folder / "plain.py").write_text(PLAIN)
    started = []
    for index in range(PROCESSES):
        share = folder / f"share-{index}.json"
        share.write_text(json.dumps(configs[index::PROCESSES]))
        command = [sys.executable, str(folder / "plain.py"), str(share), str(folder)]
        started.append(
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_sweeps.environment(folder)
            )
        )
    for process in started:
        assert process.stdout and process.stdout.readline() == "ready\n"
    began = time.perf_counter()
    for process in started:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in started:
        assert process.stdout and process.stdout.readline() == "done\n"
    taken = time.perf_counter() - began
    for process in started:
        process.wait()
    return taken


def main(arguments: list[str]) -> None:
    rounds = int(arguments[0]) if arguments else ROUNDS
    students = int(arguments[1]) if len(arguments) > 1 else STUDENTS
    print(f"{students} students of {EPOCHS} epochs a side, two at once, {rounds} rounds", flush=True)
    ours, theirs = [], []
    with tempfile.TemporaryDirectory(prefix="selkd-bench-") as name:
        taught = Path(name) / "taught"
        teach(_sweeps.space("taught", 1, EPOCHS)["teacher"], Workspace(taught))
        for number in range(rounds):
            content = _sweeps.space(f"round-{number}", students, EPOCHS, seed=number, concurrent=PROCESSES)
            for side in ("ours", "plain") if number % 2 else ("plain", "ours"):
                folder = Path(name) / f"{side}-{number}"
                shutil.copytree(taught, folder)
                if side == "plain":
                    theirs.append(plain(folder, SearchSpace.of(content)))
                else:
                    ours.append(_sweeps.span(_sweeps.run(folder, content)))
            print(f"round {number + 1}: {_compared(theirs[-1], ours[-1], students)}", flush=True)
    print(f"medians: {_compared(statistics.median(theirs), statistics.median(ours), students)} (goal 0.90)")


def _compared(theirs: float, ours: float, students: int) -> str:
    each = PROCESSES * theirs / students
    return f"plain {theirs:.1f} s ({each:.1f} s a student), study {ours:.1f} s, plain over study {theirs / ours:.2f}"


if __name__ == "__main__":
    main(sys.argv[1:])
