"""What eight students that train at once hold in memory, against one: data and evidence are shared, not copied.

Pages of mapped files count once, however many processes use them (Linux's proportional set size). Goal: what is mapped
by eight at most 1.3 times what one maps; the rest is the students and their interpreters. Fashion-MNIST where it is
installed, else the digits.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import _sweeps
from selkd.config import RunConfig, Workspace

COUNTS = (1, 8)
PREPARE = """
import sys
from pathlib import Path
from selkd.config import Workspace
from selkd.data import load
from selkd.errors import UserError
from selkd.training.teach import teach
workspace, source = Workspace(Path(sys.argv[1])), "fashion-mnist"
try:
    load(source, root=workspace.data)
except UserError:
    source = "digits"
student, training = {"model": "mlp"}, {"epochs": 1}
teach({"name": "teacher", "data": {"source": source}, "student": student, "training": training}, workspace)
print(source)
"""
TRAIN = """
import json, sys
from pathlib import Path
from selkd.config import RunConfig, Workspace
from selkd.training.run import Recording, train
hear = lambda epoch: print("epoch", flush=True)
config = RunConfig.model_validate(json.loads(sys.argv[1]))
train(config, Workspace(Path(sys.argv[2])), on_epoch=hear, recording=Recording(deliver=False))
"""


def main(arguments: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="selkd-bench-") as name:
        workspace = Workspace(Path(name))
        command = [sys.executable, "-c", PREPARE, str(workspace.root)]
        source = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
        found = {count: _held(count, source, workspace) for count in COUNTS}
    print(f"{source}; MB held by so many students at once")
    print("students   mapped data and evidence   private, each")
    for count, (mapped, private) in found.items():
        print(f"{count:8d}   {mapped:24.0f}   {private:13.0f}")
    print(f"mapped: {found[COUNTS[1]][0] / found[COUNTS[0]][0]:.2f} times (goal 1.3)")


def _held(count: int, source: str, workspace: Workspace) -> tuple[float, float]:
    """Mapped megabytes of all processes, each page once, and private ones of each, while all of them train."""
    started = []
    for seed in range(count):
        config = RunConfig.of({
            "name": f"memory-{count}", "seed": seed, "data": {"source": source}, "teacher": "teacher",
            "task": {"categories": [0, 1, 2, 3], "mode": "open"}, "student": {"model": "mlp"}, "objective": "selkd",
            "training": {"epochs": 1000}, "workers": {"device": "cpu"},
        })  # fmt: skip
        command = [sys.executable, "-c", TRAIN, json.dumps(config.model_dump(mode="json")), str(workspace.root)]
        environment = _sweeps.environment(workspace.root)
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
    try:
        for process in started:
            assert process.stdout and process.stdout.readline() == "epoch\n"
        time.sleep(1)
        samples = [_sample(process.pid) for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
    return sum(mapped for mapped, _ in samples), sum(private for _, private in samples) / count


def _sample(pid: int) -> tuple[float, float]:
    """Megabytes of mapped arrays, shared pages divided among those who map them, and of private pages."""
    mapped = private = 0
    array = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        key, _, rest = line.partition(":")
        if "-" in key.split()[0]:
            array = line.endswith(".npy")
        elif key == "Pss" and array:
            mapped += int(rest.split()[0])
        elif key in ("Private_Dirty",) and not array:
            private += int(rest.split()[0])
    return mapped / 1024, private / 1024
