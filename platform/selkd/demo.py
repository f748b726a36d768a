"""The demonstration: a teacher of ten digits, and students for four of them, closed and open."""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from selkd.config import RunConfig, Workspace
from selkd.files import write_bytes
from selkd.training.loop import Epoch
from selkd.training.run import Trained, train
from selkd.training.teach import teach

SEEDS = (0, 1, 2)
CATEGORIES = ["three", "five", "eight", "nine"]
TEACHER = "digits-teacher"
AUGMENT = {"crop": 1}
OBJECTIVES: dict[str, dict[str, Any]] = {
    "cross-entropy": {"name": "cross-entropy"},
    "kd": {"name": "kd", "temperature": 2.0},
    "selkd": {"name": "selkd", "epsilon": 2.0},
}
COMPARED = {"closed": ["accuracy", "nll"], "open": ["in_task_accuracy", "reject_recall", "balanced", "auroc"]}


def teacher_config() -> dict[str, Any]:
    return {
        "name": TEACHER,
        "experiment": "demo",
        "data": {"source": "digits", "augment": AUGMENT},
        "student": {"model": "cnn", "width": 32},
        "training": {"epochs": 25},
    }


def student_config(mode: str, objective: str) -> dict[str, Any]:
    return {
        "name": f"{mode}-{objective}",
        "experiment": "demo",
        "data": {"source": "digits", "augment": AUGMENT, "rows_per_category": 20},
        "task": {"categories": CATEGORIES, "mode": mode},
        "teacher": TEACHER,
        "student": {"model": "cnn", "width": 4},
        "objective": OBJECTIVES[objective],
        "training": {"epochs": 40 if mode == "closed" else 20, "batch_size": 32},
    }


@dataclass(frozen=True)
class Row:
    """Students of one objective: means and deviations over seeds, test split."""

    name: str
    metrics: dict[str, tuple[float, float]]


def write_configurations(folder: Path) -> dict[str, Path]:
    """The demonstration's configurations as files, ready to change and run again."""
    written = {"teacher": teacher_config()}
    written |= {f"{m}-{o}": student_config(m, o) for m in COMPARED for o in OBJECTIVES}
    for name, content in written.items():
        write_bytes(folder / f"{name}.yaml", yaml.safe_dump(content, sort_keys=False).encode())
    return {name: folder / f"{name}.yaml" for name in written}


def run(
    workspace: Workspace, on_start: Callable[[str], Callable[[Epoch], None]]
) -> Iterator[tuple[str, list[Trained]]]:
    """Teach, then yield the students of each configuration as they finish."""
    files = write_configurations(workspace.root / "demo")
    teach(RunConfig.read(files["teacher"]), workspace, on_epoch=on_start("teacher"))
    for name, path in files.items():
        if name == "teacher":
            continue
        yield (
            name,
            [
                train(RunConfig.read(path, [f"seed={seed}"]), workspace, on_epoch=on_start(f"{name}, seed {seed}"))
                for seed in SEEDS
            ],
        )


def compared(mode: str, students: dict[str, list[Trained]]) -> list[Row]:
    """The rows of a mode's table; the first is the teacher restricted to the task."""
    rows = []
    for objective in OBJECTIVES:
        trained = students[f"{mode}-{objective}"]
        if not rows:
            teacher = {m: (trained[0].metrics[f"teacher/test/{m}"], 0.0) for m in COMPARED[mode]}
            rows.append(Row("teacher, restricted", teacher))
        found = {m: [t.metrics[f"test/{m}"] for t in trained] for m in COMPARED[mode]}
        rows.append(Row(objective, {m: (statistics.mean(v), statistics.stdev(v)) for m, v in found.items()}))
    return rows
