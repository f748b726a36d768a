"""Open-set students on Fashion-MNIST: cross-entropy, KD and SelKD at equal grids, all cells shown.

Task: T-shirt/top, Pullover, Coat, Shirt; all ten categories appear. 100 training rows a category, a CNN of about 3,000
parameters, epsilon and temperature on the same grid, chosen on validation. Takes about 15 minutes on two cores.
"""

import argparse
import multiprocessing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from scipy import stats

from selkd.config import RunConfig, Workspace
from selkd.training.evaluation import scored, scored_teacher
from selkd.training.run import fit
from selkd.training.teach import teach
from selkd.training.workers import Workers

CATEGORIES = ["T-shirt/top", "Pullover", "Coat", "Shirt"]
GRID = (1.0, 2.0, 4.0, 8.0)
SHOWN = ("in_task_accuracy", "reject_recall", "balanced", "auroc")
DATA = {"source": "fashion-mnist", "validation": 0.05, "augment": {"crop": 2, "flip": True}}


def cells() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"name": "cross-entropy"}]
    found += [{"name": "kd", "temperature": heat} for heat in GRID]
    found += [{"name": "selkd", "epsilon": heat} for heat in GRID]
    return found


def student(job: tuple[dict[str, Any], int, int, str]) -> dict[str, Any]:
    """Validation and test metrics of one student."""
    objective, seed, epochs, root = job
    torch.set_num_threads(1)
    config = RunConfig.model_validate(
        {
            "name": "study",
            "seed": seed,
            "data": {**DATA, "rows_per_category": 100},
            "task": {"categories": CATEGORIES, "mode": "open"},
            "teacher": "fashion",
            "student": {"model": "cnn", "width": 9},
            "objective": objective,
            "training": {"epochs": epochs, "keep": "last", "optimiser": {"lr": 0.05}},
            "workers": {"device": "cpu"},
        }
    )
    setup, model = fit(config, Workspace(Path(root)), Workers(), lambda _: None, keep=False)
    heat = objective.get("temperature", objective.get("epsilon"))
    row: dict[str, Any] = {"objective": objective["name"], "heat": heat, "seed": seed}
    for part in ("validation", "test"):
        found = scored(setup, model, getattr(setup.splits, part)).metrics()
        row |= {f"{part}/{name}": 100 * found[name] for name in SHOWN}
    if objective["name"] == "kd" and seed == 0:
        row["teacher"] = {name: 100 * scored_teacher(setup, "test").metrics()[name] for name in SHOWN}
    return row


def interval(values: Sequence[float]) -> str:
    """Mean and the half-width of its 95 % t-interval."""
    series = pd.Series(values)
    half = stats.t.ppf(0.975, len(series) - 1) * series.sem()
    return f"{series.mean():.1f} ± {half:.1f}"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--teacher-epochs", type=int, default=8)
    parser.add_argument("--workspace", type=Path, default=Path(".selkd/study"))
    arguments = parser.parse_args(argv)
    workspace = Workspace(arguments.workspace.absolute())
    teacher = {
        "name": "fashion", "data": DATA, "student": {"model": "cnn", "width": 32},
        "training": {"epochs": arguments.teacher_epochs, "batch_size": 128},
    }  # fmt: skip
    card = teach(RunConfig.model_validate(teacher), workspace)
    print(f"teacher: validation accuracy {100 * card.validation_accuracy:.1f} over ten categories", flush=True)
    jobs = [(o, seed, arguments.epochs, str(workspace.root)) for seed in range(arguments.seeds) for o in cells()]
    rows = []
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for row in pool.imap(student, jobs):
            rows.append(row)
            if len(rows) % len(cells()) == 0:
                print(f"{len(rows)} of {len(jobs)} students", flush=True)
    table = pd.DataFrame(rows)
    table.drop(columns="teacher").to_csv(workspace.root / "open_set_study.csv", index=False)
    print("\nteacher restricted to the task: ", next(t for t in table["teacher"] if isinstance(t, dict)))
    print(f"\nAll cells, mean over {arguments.seeds} seeds with 95 % t-intervals:\n")
    print(
        "| objective | epsilon / temperature | validation balanced | " + " | ".join(f"test {s}" for s in SHOWN) + " |"
    )
    print("|---" * (3 + len(SHOWN)) + "|")
    chosen = {}
    for (name, heat), cell in table.groupby(["objective", "heat"], dropna=False, sort=False):
        shown = [interval(cell[f"test/{s}"].tolist()) for s in SHOWN]
        mean = cell["validation/balanced"].mean()
        print(f"| {name} | {heat} | {interval(cell['validation/balanced'].tolist())} | {' | '.join(shown)} |")
        if name not in chosen or mean > chosen[name][0]:
            chosen[name] = (mean, heat, cell.set_index("seed")["test/balanced"])
    print("\nChosen on validation, paired differences of the test mean (balanced):\n")
    for ours, theirs in (("selkd", "kd"), ("selkd", "cross-entropy"), ("kd", "cross-entropy")):
        gap = chosen[ours][2] - chosen[theirs][2]
        wins = int((gap > 0).sum())
        test = stats.wilcoxon(gap).pvalue
        print(f"{ours} ({chosen[ours][1]}) - {theirs} ({chosen[theirs][1]}): {interval(gap.tolist())}, "
              f"better in {wins} of {len(gap)} seeds, Wilcoxon p = {test:.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
