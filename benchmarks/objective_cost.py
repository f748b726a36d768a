"""What a teacher term costs: an epoch with stored evidence over an epoch of cross-entropy.

A resnet20, K = 100 categories, k = 20 selected (closed), generated 32 x 32 colour images with crop and flip. Everything
is what training uses: batches, loop, stepper, mapped teacher logits in four views. Logits are drawn, with the label's
raised as a trained teacher's would be, so that the plans have work to do. Epochs are interleaved, in an order that
rotates. What is counted is the processor time of this process, which has one thread: on a quiet machine that is the
time an epoch takes, and on a busy one it leaves out what others were given.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from selkd import models, objectives
from selkd.data import Part, Task
from selkd.data.augment import Augmentation
from selkd.data.rows import ArrayRows
from selkd.models.classifier import Classifier
from selkd.objectives import Context
from selkd.training.batches import Batches, Stored
from selkd.training.loop import Loop
from selkd.training.optimisers import OptimiserSettings
from selkd.training.schedules import Schedule
from selkd.training.workers import Workers

K, SELECTED, VIEWS, SIDE = 100, 20, 4, 32
GOAL = 1.10
MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
CPU = torch.device("cpu")
CASES: dict[str, dict[str, Any]] = {
    "cross-entropy": {"name": "cross-entropy"},
    "kd": {"name": "kd"},
    "selkd": {"name": "selkd"},
    "selkd, both plans with columns": {"name": "selkd", "student_columns": "target"},
}


def generated(rows: int, folder: Path) -> tuple[Part, np.ndarray]:
    """Rows of the selected categories in equal numbers, and mapped teacher logits [V, N, K]."""
    rng = np.random.default_rng(0)
    labels = np.arange(rows) % SELECTED
    logits = rng.normal(0, 2, (VIEWS, rows, K)).astype(np.float32)
    logits[:, np.arange(rows), labels] += 6
    np.save(folder / "logits.npy", logits)
    np.save(folder / "pixels.npy", rng.integers(0, 256, (rows, 3, SIDE, SIDE), dtype=np.uint8))
    part = Part(ArrayRows(np.load(folder / "pixels.npy", mmap_mode="r"), torch.from_numpy(labels)), torch.arange(rows))
    return part, np.load(folder / "logits.npy", mmap_mode="r")


class Case:
    """One student and what it trains with; an epoch a call."""

    def __init__(self, model: str, settings: dict[str, Any], part: Part, logits: np.ndarray, batch_size: int) -> None:
        task = Task(list(range(SELECTED)), "closed").on([str(c) for c in range(K)])
        kind = objectives.find(settings["name"])
        self.batches = Batches(
            part,
            task,
            batch_size=batch_size,
            seed=0,
            augmentation=Augmentation(crop=4, flip=True),
            fill=torch.tensor(MEAN),
            device=CPU,
            dtype=torch.float32,
            workers=Workers(),
            stored=Stored(logits, seed=0) if kind.needs_teacher else None,
        )
        chosen = {key: value for key, value in settings.items() if key != "name"}
        self.objective = kind(kind.Settings(**chosen), Context(task.ids, task.mode, self.batches.counts.double()))
        torch.manual_seed(0)
        network = models.build(model, channels=3, outputs=SELECTED, image_size=SIDE)
        self.model = Classifier(network, MEAN, STD)

    def epoch(self) -> float:
        """Milliseconds a step."""
        loop = Loop(
            model=self.model,
            objective=self.objective,
            batches=self.batches,
            validate=lambda _: {"accuracy": 0.0},
            score="accuracy",
            optimiser=OptimiserSettings(),
            schedule=Schedule(),
            total_steps=len(self.batches),
            device=CPU,
        )
        began = time.process_time()
        loop.fit(None)
        return 1000 * (time.process_time() - began) / len(self.batches)


def measured(model: str, rows: int, rounds: int, batch_size: int) -> dict[str, float]:
    """Median milliseconds a step, by objective; the first round warms up and does not count."""
    with tempfile.TemporaryDirectory() as folder:
        data = generated(rows, Path(folder))
        cases = {name: Case(model, settings, *data, batch_size) for name, settings in CASES.items()}
        names, times = list(cases), {name: [] for name in cases}
        for turn in range(rounds + 1):
            shift = turn % len(names)
            for name in names[shift:] + names[:shift]:
                taken = cases[name].epoch()
                if turn:
                    times[name].append(taken)
    return {name: statistics.median(taken) for name, taken in times.items()}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="resnet20", help="the student's architecture")
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=6, help="measured epochs of each objective")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    for batch_size in (64, 128):
        found = measured(options.model, options.rows, options.rounds, batch_size)
        print(f"batch {batch_size}, {options.model}, k = {SELECTED} of K = {K}")
        for name, taken in found.items():
            print(f"  {name:32} {taken:7.1f} ms a step  {taken / found['cross-entropy']:6.3f} of cross-entropy")
        print(f"objective cost: {found['selkd'] / found['cross-entropy']:.3f} (goal: at most {GOAL:g})", flush=True)


if __name__ == "__main__":
    main()
