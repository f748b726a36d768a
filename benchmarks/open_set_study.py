"""Open-set students on Fashion-MNIST: cross-entropy, KD and SelKD at equal grids, all cells shown.

Task: T-shirt/top, Pullover, Coat, Shirt; all ten categories appear. 100 training rows a category, a CNN of 2,854
parameters. A seed draws its own training and validation rows, initialisation, order and augmentation, the same for
every objective. Epsilon and temperature share a grid and are chosen on validation.
"""

import argparse
import math
import multiprocessing
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats

from selkd.config import RunConfig, Workspace
from selkd.training.evaluation import scored, scored_teacher
from selkd.training.run import fit
from selkd.training.setup import Setup
from selkd.training.teach import teach
from selkd.training.workers import Workers

CATEGORIES = ["T-shirt/top", "Pullover", "Coat", "Shirt"]
GRID = (1.0, 2.0, 4.0, 8.0)
CELLS: list[dict[str, Any]] = [
    {"name": "cross-entropy"},
    *({"name": "kd", "temperature": heat} for heat in GRID),
    *({"name": "selkd", "epsilon": heat} for heat in GRID),
]
SHOWN = {
    "in_task_accuracy": "in-task accuracy", "reject_recall": "reject recall", "balanced": "mean", "auroc": "AUROC"
}  # fmt: skip
DATA = {"source": "fashion-mnist", "augment": {"crop": 2, "flip": True}}


def teacher_config() -> RunConfig:
    return RunConfig.model_validate(
        {
            "name": "fashion",
            "data": {**DATA, "validation": 0.05},
            "student": {"model": "cnn", "width": 32},
            "training": {"epochs": 8, "batch_size": 128},
        }
    )


def student_config(objective: dict[str, Any], seed: int, epochs: int, lr: float) -> RunConfig:
    return RunConfig.model_validate(
        {
            "name": "study",
            "seed": seed,
            "data": {**DATA, "validation": 0.02, "rows_per_category": 100, "seed": seed},
            "task": {"categories": CATEGORIES, "mode": "open"},
            "teacher": "fashion",
            "student": {"model": "cnn", "width": 7},
            "objective": objective,
            "training": {"epochs": epochs, "keep": "last", "views": 16, "optimiser": {"lr": lr}},
            "workers": {"device": "cpu"},
        }
    )


def student(job: tuple[dict[str, Any], Path]) -> dict[str, Any]:
    """Validation and test metrics of one student, in percent."""
    content, root = job
    config = RunConfig.model_validate(content)
    torch.set_num_threads(1)
    setup, model = fit(config, Workspace(root), Workers(), lambda _: None, keep=False)
    objective = config.objective
    heat = getattr(objective, "temperature", getattr(objective, "epsilon", None))
    row: dict[str, Any] = {"objective": objective.name, "heat": heat, "seed": config.seed}
    for part in ("validation", "test"):
        found = scored(setup, model, getattr(setup.splits, part)).metrics()
        row |= {f"{part}/{name}": 100 * found[name] for name in SHOWN}
    return row


def restricted_teacher(workspace: Workspace) -> list[str]:
    """The teacher's cells: its unselected categories merged."""
    config = student_config(CELLS[0], 0, epochs=1, lr=0.1)
    found = scored_teacher(Setup.of(config, workspace, Workers(), torch.device("cpu")), "test").metrics()
    return [f"{100 * found[name]:.1f}" for name in SHOWN]


def interval(values: Sequence[float] | np.ndarray) -> str:
    """Mean and the half-width of its 95 % t-interval."""
    series = np.asarray(values)
    half = stats.t.ppf(0.975, len(series) - 1) * series.std(ddof=1) / math.sqrt(len(series))
    return f"{series.mean():.1f} ± {half:.1f}"


def report(rows: list[dict[str, Any]], teacher: list[str]) -> None:
    """All cells, then the cells chosen on validation against one another."""
    names = ["objective", "epsilon or temperature", "validation mean", *(f"test {name}" for name in SHOWN.values())]
    lines = [names, ["---"] * len(names), ["teacher, restricted", "", "", *teacher]]
    chosen: dict[str, tuple[float, str, np.ndarray]] = {}
    for objective, heat in {(row["objective"], row["heat"]): None for row in rows}:
        cell = [row for row in rows if (row["objective"], row["heat"]) == (objective, heat)]
        label = "" if heat is None else f"{heat:g}"
        wanted = ["validation/balanced", *(f"test/{name}" for name in SHOWN)]
        lines.append([objective, label, *(interval([row[name] for row in cell]) for name in wanted)])
        validated = statistics.mean(row["validation/balanced"] for row in cell)
        if objective not in chosen or validated > chosen[objective][0]:
            scores = np.array([row["test/balanced"] for row in cell])
            chosen[objective] = (validated, f"{objective} {label}".strip(), scores)
    print("\n".join(f"| {' | '.join(line)} |" for line in lines))
    print("\n| chosen on validation | difference of the test mean | better in |\n|---|---|---|")
    for ours, theirs in (("selkd", "kd"), ("selkd", "cross-entropy"), ("kd", "cross-entropy")):
        gap = chosen[ours][2] - chosen[theirs][2]
        print(f"| {chosen[ours][1]} - {chosen[theirs][1]} | {interval(gap)} | {(gap > 0).sum()} of {len(gap)} seeds |")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--lr", type=float, default=0.2)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--workspace", type=Path, default=Path(".selkd/study"))
    options = parser.parse_args(argv)
    workspace = Workspace(options.workspace.absolute())
    card = teach(teacher_config(), workspace)
    print(f"teacher: validation accuracy {100 * card.validation_accuracy:.1f} over ten categories", flush=True)
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    configs = [student_config(cell, seed, options.epochs, options.lr) for seed in seeds for cell in CELLS]
    rows = []
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for row in pool.imap(student, [(config.model_dump(), workspace.root) for config in configs]):
            rows.append(row)
            if len(rows) % len(CELLS) == 0:
                print(f"{len(rows)} of {len(configs)} students", flush=True)
    pd.DataFrame(rows).to_csv(workspace.root / "open_set_study.csv", index=False)
    print(f"\n{options.seeds} seeds, {options.epochs} epochs, learning rate {options.lr:g}; 95 % t-intervals\n")
    report(rows, restricted_teacher(workspace))


if __name__ == "__main__":
    main()
