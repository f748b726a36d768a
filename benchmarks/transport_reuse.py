"""What learning across label sets costs: a step of `transport` over a step of `kd`, 100 teacher categories, 50 outputs.

A resnet20 on generated 32 x 32 colour images: forward, loss, backward, update. The teacher's logits are drawn, and so
are embeddings of both label sets, whose cosines give the cost. Steps are interleaved, in an order that rotates. What is
counted is the processor time of this process, which has one thread.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from selkd import models, objectives
from selkd.objectives import Context, View
from selkd.objectives.links import Link
from selkd.transport import ground_cost

THEIRS, OURS = 100, 50
GOAL = 1.15
CASES: dict[str, dict[str, Any]] = {
    "kd": {"name": "kd"},
    "transport, sharp": {"name": "transport"},
    "transport, regularised": {"name": "transport", "kind": "regularised"},
    "transport, debiased": {"name": "transport", "kind": "debiased"},
    "transport, sharp, epsilon 0.01": {"name": "transport", "epsilon": 0.01},
    "mapped": {"name": "mapped"},
}


def linked() -> Link:
    """Random embeddings in 16 dimensions; the largest cost is 1."""
    generator = torch.Generator().manual_seed(0)
    theirs, ours = (torch.randn(n, 16, generator=generator) for n in (THEIRS, OURS))
    top = float(ground_cost(theirs, ours).max())
    costs = [ground_cost(*pair) / top for pair in ((theirs, ours), (theirs, theirs), (ours, ours))]
    return Link(costs[0], torch.zeros(THEIRS, OURS, dtype=torch.bool), costs[1], costs[2])


class Student:
    """One student; a step a call."""

    def __init__(self, settings: dict[str, Any], batch_size: int) -> None:
        kind: Any = objectives.find(settings["name"])
        given = {key: value for key, value in settings.items() if key != "name"}
        self.objective = kind(
            kind.Settings(**given), Context(torch.arange(OURS), "closed", torch.ones(OURS), (linked(),))
        )
        torch.manual_seed(0)
        self.network = models.build("resnet20", channels=3, outputs=OURS, image_size=32)
        self.optimiser = torch.optim.SGD(self.network.parameters(), 0.01, momentum=0.9)
        self.images = torch.rand(batch_size, 3, 32, 32)
        labels = torch.arange(batch_size) % OURS
        self.targets = F.one_hot(labels, OURS).float()
        self.teacher = 2 * torch.randn(batch_size, THEIRS) + 6 * F.one_hot(labels, THEIRS)

    def step(self) -> float:
        """Milliseconds."""
        began = time.process_time()
        self.optimiser.zero_grad()
        view = View(self.network(self.images), self.targets, self.teacher, len(self.images))
        self._loss(view).backward()
        self.optimiser.step()
        return 1000 * (time.process_time() - began)

    def _loss(self, view: View) -> Tensor:
        terms, weights = self.objective.terms(view), self.objective.weights
        return torch.stack([weights[name] * term.mean() for name, term in terms.items()]).sum()


def measured(steps: int, batch_size: int) -> dict[str, float]:
    """Median milliseconds a step; the first two do not count."""
    students = {name: Student(settings, batch_size) for name, settings in CASES.items()}
    names, times = list(students), {name: [] for name in students}
    for turn in range(steps + 2):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            taken = students[name].step()
            if turn >= 2:
                times[name].append(taken)
    return {name: statistics.median(taken) for name, taken in times.items()}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=64)
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    found = measured(options.steps, options.batch_size)
    for name, taken in found.items():
        print(f"{name:32} {taken:7.1f} ms a step  {taken / found['kd']:6.3f} of kd")
    print(f"transport reuse: {found['transport, sharp'] / found['kd']:.3f} (goal: at most {GOAL:g})", flush=True)


if __name__ == "__main__":
    main()
