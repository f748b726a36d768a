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
from selkd.training.run import Trained, result, train
from selkd.training.teach import teach

SEEDS = (0, 1, 2)
CATEGORIES = ["three", "five", "eight", "nine"]
ROWS = 20
TEACHER = "digits-teacher"
AUGMENT = {"crop": 1}
OBJECTIVES: dict[str, dict[str, Any]] = {
    "cross-entropy": {"name": "cross-entropy"},
    "kd": {"name": "kd", "temperature": 2.0},
    "selkd": {"name": "selkd", "epsilon": 4.0},
}
COMPARED = {"closed": ["accuracy", "nll"], "open": ["in_task_accuracy", "reject_recall", "balanced", "auroc"]}
RUNS = 1 + len(COMPARED) * len(OBJECTIVES) * len(SEEDS)

Hear = Callable[[Epoch], None]


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
        "data": {"source": "digits", "augment": AUGMENT, "rows_per_category": ROWS},
        "task": {"categories": CATEGORIES, "mode": mode},
        "teacher": TEACHER,
        "student": {"model": "cnn", "width": 8},
        "objective": OBJECTIVES[objective],
        "training": {"epochs": 60, "batch_size": 32, "keep": "last"},
    }


@dataclass(frozen=True)
class Row:
    """Students of one objective on the test split: mean and, where there are seeds, deviation."""

    name: str
    metrics: dict[str, tuple[float, float | None]]


def configurations() -> dict[str, dict[str, Any]]:
    """What the demonstration runs, by name."""
    return {"teacher": teacher_config()} | {f"{m}-{o}": student_config(m, o) for m in COMPARED for o in OBJECTIVES}


def write_configurations(folder: Path) -> None:
    """The demonstration's configurations as files, ready to change and run again; what is there already is kept."""
    for name, content in configurations().items():
        path = folder / f"{name}.yaml"
        if not path.exists():
            write_bytes(path, yaml.safe_dump(content, sort_keys=False).encode())


def run(workspace: Workspace, on_start: Callable[[str], Hear]) -> Iterator[tuple[str, Trained]]:
    """Teach, then train; yields each run with the name of its configuration when it is recorded.

    `on_start` is given a run's title and returns what hears of its epochs; a run that was finished before has none.
    """
    write_configurations(workspace.root / "demo")
    students = configurations()
    teacher = RunConfig.of(students.pop("teacher"))
    teach(teacher, workspace, on_epoch=on_start("teacher"))
    yield "teacher", result(workspace, teacher)
    for name, content in students.items():
        for seed in SEEDS:
            config = RunConfig.of({**content, "seed": seed})
            yield name, train(config, workspace, on_epoch=on_start(f"{name}, seed {seed}"))


def compared(mode: str, students: dict[str, list[Trained]]) -> list[Row]:
    """The rows of a mode's table; the first is the teacher restricted to the task."""
    rows = []
    for objective in OBJECTIVES:
        trained = students[f"{mode}-{objective}"]
        if not rows:
            rows.append(Row("teacher", {m: (trained[0].metrics[f"teacher/test/{m}"], None) for m in COMPARED[mode]}))
        found = {m: [t.metrics[f"test/{m}"] for t in trained] for m in COMPARED[mode]}
        rows.append(Row(objective, {m: (statistics.mean(v), statistics.stdev(v)) for m, v in found.items()}))
    return rows
