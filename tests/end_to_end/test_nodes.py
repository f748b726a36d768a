"""Several real nodes on this machine: what goes on when some are lost, and that it gives what would have been."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors.torch import load_file

from selkd.cluster.manifests import LEAVE
from selkd.config import RunConfig, Workspace
from selkd.sweeps.places import Places
from selkd.sweeps.run import sweep
from selkd.sweeps.state import State
from selkd.sweeps.studies import Study
from selkd.tracking import StudyRecord, TrialRecord
from selkd.training.ray_entry import ENVIRONMENT
from selkd.training.run import Trained, train
from tests.end_to_end.outcomes import ends, told

pytestmark = pytest.mark.slow

EPOCHS = 80
STUDENT: dict[str, Any] = {
    "data": {"rows_per_category": 30, "augment": {"crop": 1}},
    "task": {"categories": ["three", "five", "eight"], "mode": "open"},
    "teacher": "teacher",
    "student": {"model": "cnn", "width": 4},
    "objective": {"name": "selkd", "epsilon": 2.0},
    "training": {"epochs": EPOCHS, "batch_size": 32, "keep": "last", "precision": "float64"},
    "workers": {"device": "cpu"},
}
SPACE: dict[str, Any] = {
    "name": "nodes",
    "base": {**STUDENT, "training": {"epochs": 60, "batch_size": 16}},
    "search": {"objective.epsilon": {"log": [0.5, 8.0]}},
    "metrics": {"validation/balanced": "maximise"},
    "budget": {"candidates": 4},
    "sampler": "random",
}
IMPATIENT = {"RAY_health_check_period_ms": "1000", "RAY_health_check_initial_delay_ms": "1000"}
"""Ray's own periods are three and five seconds: a dead node would be noticed late."""
DRIVER = """
import json, sys
from pathlib import Path
from selkd.config import Workspace
from selkd.sweeps.run import sweep
sweep(json.loads(sys.argv[1]), Workspace(Path(sys.argv[2])))
"""


class Nodes:
    """A cluster whose nodes of one CPU come and go."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})

    def add(self, disk: Path | None = None) -> Any:
        """A node, with this file system as its own: for Ray's files and sockets, and what processes keep meanwhile."""
        if disk is None:
            return self.cluster.add_node(num_cpus=1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TMPDIR", str(disk))
            return self.cluster.add_node(num_cpus=1, temp_dir=str(disk))

    def kill(self, node: Any) -> None:
        """As a machine dies: at once, and without a word."""
        self.cluster.remove_node(node, allow_graceful=False)

    def preempt(self, node: Any) -> None:
        """What the hook of its pod does, and then its end."""
        [shell, _, script, *rest] = LEAVE
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        which = ["--address", self.cluster.address, "--node-id", node.node_id]
        command = [shell, "-c", script, *rest, *which]
        subprocess.run(command, check=True, capture_output=True, timeout=120, env={**os.environ, "PATH": path})
        self.kill(node)


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    for name, value in {**ENVIRONMENT, **IMPATIENT}.items():
        monkeypatch.setenv(name, value)
    import ray

    nodes = Nodes()
    ray.init(nodes.cluster.address, log_to_driver=False, logging_level=40)
    yield nodes
    ray.shutdown()
    nodes.cluster.shutdown()


def test_training_goes_on_with_fewer_workers_and_gives_the_same_student(nodes: Nodes, workspace: Workspace) -> None:
    nodes.add()
    lent = nodes.add()
    sizes: dict[int, int] = {}
    lost: list[int] = []

    def hear(epoch: Any) -> None:
        sizes[epoch.epoch] = len(processes("RayTrainWorker"))
        if sizes[epoch.epoch] == 2 and epoch.epoch >= 5 and not lost:
            lost.append(epoch.epoch)
            nodes.kill(lent)

    config = RunConfig.model_validate(STUDENT | {"workers": {"device": "cpu", "count": 2, "least": 1}})
    fewer = train(config, workspace, on_epoch=hear)
    assert lost
    assert sizes[EPOCHS] == 1
    assert list(fewer.history.index) == list(range(1, EPOCHS + 1))
    one = train(RunConfig.model_validate(STUDENT), workspace, fresh=True)
    assert gap(one, fewer) <= 1e-9


@pytest.fixture(scope="module")
def undisturbed(taught: Workspace) -> Any:
    """The table of the study that nobody disturbs, from a cluster of its own."""
    return told(sweep(SPACE, taught))


@pytest.mark.parametrize("how", ["kill", "preempt"])
def test_a_study_loses_a_node_and_gains_another(how: str, undisturbed: Any, nodes: Nodes, workspace: Workspace) -> None:
    nodes.add()
    going = nodes.add()
    trained: list[int] = []

    def watch(state: State) -> None:
        if not trained and len(list(workspace.runs.glob("*/checkpoints/index.json"))) == 2:
            getattr(nodes, how)(going)
            nodes.add()
            trained.append(len(list(workspace.runs.glob("*/student"))))

    study = sweep(SPACE, workspace, watch=watch)
    assert trained[0] < 4, "the node went while students trained"
    assert told(study) == undisturbed
    assert set(ends(study).values()) == {1}
    lost = [e for e in StudyRecord(study.folder).ledger.events() if e["event"] == "lost"]
    assert len(lost) == 1
    if how == "preempt":
        assert "about to go" in lost[0]["reason"]
        for key in study.state.trials:
            logged = [e["step"] for e in TrialRecord(workspace.runs / key).ledger.events() if e["event"] == "log"]
            assert logged == list(range(1, 61)), "a preempted student saved its epoch before it moved"


@pytest.fixture
def disk(small_disk: Callable[[int], Path]) -> Iterator[Path]:
    """A small file system under a short name: names of sockets have 107 characters."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        (name := Path(folder) / "disk").symlink_to(small_disk(32 * 2**20))
        yield name


@pytest.mark.parametrize("when", ["before", "while"])
def test_a_study_finishes_although_the_disk_of_a_node_is_full(
    when: str, undisturbed: Any, nodes: Nodes, workspace: Workspace, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While students train, the disk fills and the process on it dies: none starts there any more."""
    nodes.add()
    full = nodes.add(disk)
    filled: list[int] = []
    stranded: list[str] = []
    counts = Places.lost

    def lost(places: Places, key: str) -> bool:
        if key not in places._started:
            stranded.append(key)
        return counts(places, key)

    monkeypatch.setattr(Places, "lost", lost)

    def watch(state: State) -> None:
        if not filled and (when == "before" or len(list(workspace.runs.glob("*/checkpoints/index.json"))) == 2):
            fill(disk)
            filled.append(len(list(workspace.runs.glob("*/student"))))
            [raylet] = full.all_processes["raylet"]
            for process in psutil.Process(raylet.process.pid).children():
                if "Trainable" in " ".join(process.cmdline()):
                    process.kill()

    study = sweep(SPACE, workspace, watch=watch)
    assert filled[0] < 4, "the disk was full while students trained"
    assert stranded, "some process did not start"
    assert told(study) == undisturbed
    assert set(ends(study).values()) == {1}


def test_a_study_whose_drivers_node_is_lost_goes_on_elsewhere(
    undisturbed: Any, workspace: Workspace, waiting: Callable[..., Any]
) -> None:
    arguments = [json.dumps(SPACE), str(workspace.root)]
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    waiting(lambda: len(list(workspace.runs.glob("*/checkpoints/index.json"))) == 2)
    node = psutil.Process(driver.pid)
    for process in [node, *node.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    driver.wait()
    assert not Study.read("nodes", workspace).state.finished

    elsewhere = sweep(SPACE, workspace)
    assert told(elsewhere) == undisturbed
    assert set(ends(elsewhere).values()) == {1}


def fill(disk: Path) -> None:
    """Leave not a byte."""
    for size in (2**16, 1):
        with contextlib.suppress(OSError), (disk / f"filling-{size}").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(size))
    assert shutil.disk_usage(disk).free == 0


def gap(one: Trained, other: Trained) -> float:
    """Largest relative difference of any parameter."""
    a, b = (load_file(t.student / "weights.safetensors") for t in (one, other))
    return max(float((a[n] - b[n]).abs().max() / a[n].abs().max().clamp(min=1e-12)) for n in a)


def processes(title: str) -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if title in process.cmdline()[0]:
                found.append(process)
    return found
