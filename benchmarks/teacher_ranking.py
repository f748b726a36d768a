"""How long it takes to rank 10 and 100 teachers for a task: untrained networks of digits, subsets drawn at random.

Whole rankings: cards, costs, forward passes of 50 rows a category, other scores, picture. Level 1 shows rows to all
teachers (`first` is their number); a second ranking finds their answers in the evidence.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from selkd import models
from selkd.config import RunConfig, Workspace
from selkd.data import Dataset, load
from selkd.models.classifier import Classifier
from selkd.models.teachers import TeacherRepository
from selkd.ranking import rank


def filled(root: Path, teachers: int) -> Workspace:
    workspace = Workspace(root)
    data = load("digits", root=workspace.data)
    generator = torch.Generator().manual_seed(0)
    for number in range(teachers):
        add(workspace, f"t{number}", data, torch.randperm(10, generator=generator)[: 2 + number % 8])
    return workspace


def add(workspace: Workspace, name: str, data: Dataset, ids: torch.Tensor) -> None:
    network = models.build("cnn", channels=1, outputs=len(ids), image_size=8, width=16)
    TeacherRepository(workspace.teachers).save(
        name, Classifier(network, data.mean, data.std), categories=[data.categories[i] for i in ids.tolist()],
        architecture="cnn", settings={"width": 16}, channels=1, image_size=8,
        data={"name": "digits", "fingerprint": data.fingerprint}, accuracy={}, validation_accuracy=0.5,
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teachers", type=int, nargs="+", default=[10, 100])
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    for count in options.teachers:
        with tempfile.TemporaryDirectory() as root:
            workspace = filled(Path(root), count)
            for level, turn in ((0, "first"), (1, "first"), (1, "second")):
                teachers = {"policy": "transport", "level": level, **({"first": count} if level else {})}
                config = RunConfig.model_validate(
                    {"task": {"categories": ["three", "five", "eight", "nine"]}, "selection": {"teachers": teachers}}
                )
                wall, used = time.perf_counter(), time.process_time()
                found = rank(config, workspace)
                wall, used = time.perf_counter() - wall, time.process_time() - used
                print(
                    f"{count:4} teachers, level {level}, {turn:6} {wall:7.2f} s ({used:.2f} s of processor), of which "
                    f"costs and answers {found.spent['seconds']:.2f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
