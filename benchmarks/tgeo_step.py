"""What a learned ratio costs: a step of TGeo-KD over a step of plain KD, when its network learns every 1, 10, 50 steps.

A resnet20 on generated 32 x 32 colour images with crop and flip and stored teacher logits, outer batches of a quarter
of a batch. Everything is what training uses. Epochs are interleaved, in an order that rotates, and the processor time
of this process, which has one thread, is counted; an epoch is a multiple of the steps from one update of the network to
the next. Then the growth with the number of categories (a small network, so that the ratio network shows), and the
error of the hypergradient against double back-propagation in float64.
"""

import argparse
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from selkd import models
from selkd.data import Part, Task
from selkd.data.augment import Augmentation
from selkd.data.rows import ArrayRows
from selkd.models.classifier import Classifier
from selkd.objectives import Context, View, find
from selkd.selection import RowEvidence
from selkd.training.batches import Batches, Stored
from selkd.training.loop import Loop
from selkd.training.optimisers import OptimiserSettings
from selkd.training.schedules import Schedule
from selkd.training.unrolled import UnrolledStepper
from selkd.training.weighing import Compared, Weighing
from selkd.training.workers import Workers
from selkd.weighting.tgeo import TGeo, TGeoSettings

SIDE, BATCH, CPU = 32, 64, torch.device("cpu")
GOALS = {"every 1": 3.0, "every 10": 1.35}
MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
CASES: dict[str, dict[str, Any] | None] = {
    "plain KD": None,
    "never": {"parity": "official"},
    "every 1": {"every": 1},
    "every 10": {"every": 10},
    "every 50": {"every": 50},
}


class Case:
    """One student and what it trains with; `rows` training rows an epoch a call."""

    def __init__(
        self, model: str, categories: int, rows: int, weighting: Mapping[str, Any] | None, double: bool = False
    ) -> None:
        rng = np.random.default_rng(0)
        labels = torch.from_numpy(np.arange(2 * rows) % categories)
        pixels = rng.integers(0, 256, (2 * rows, 3, SIDE, SIDE), dtype=np.uint8)
        logits = rng.normal(0, 2, (1, rows, categories)).astype(np.float32)
        logits[0, np.arange(rows), labels[:rows]] += 6
        task = Task(list(range(categories)), "closed").on([str(c) for c in range(categories)])
        source, dtype = ArrayRows(pixels, labels), torch.float64 if double else torch.float32
        shared: dict[str, Any] = {
            "seed": 0, "fill": torch.tensor(MEAN), "device": CPU, "dtype": dtype, "workers": Workers(),
        }  # fmt: skip
        self.batches = Batches(
            Part(source, torch.arange(rows)), task, batch_size=BATCH, augmentation=Augmentation(crop=4, flip=True),
            stored=Stored(logits, 0), **shared,
        )  # fmt: skip
        self.objective = find("kd")(find("kd").Settings(), Context(task.ids, "closed", self.batches.counts.double()))
        torch.manual_seed(0)
        network = models.build(model, channels=3, outputs=categories, image_size=SIDE)
        self.model = Classifier(network, MEAN, STD).to(dtype)
        self.weighing, self.outer = None, None
        if weighting is not None:
            answers = torch.from_numpy(logits[0]).log_softmax(1)
            evidence = RowEvidence(torch.arange(rows), labels[:rows], categories, 1, lambda: answers)
            settings = TGeoSettings(outer_rows=BATCH // 4, **weighting)
            policy = TGeo(settings, evidence, 0).to(dtype)
            self.weighing = Weighing(policy, task.ids, merge=False, total_steps=10**6)
            self.outer = None if not settings.needs_outer else Batches(
                Part(source, torch.arange(rows, 2 * rows)), task, batch_size=BATCH // 4, augmentation=Augmentation(),
                **shared,
            )  # fmt: skip

    def loop(self, steps: int) -> Loop:
        return Loop(
            model=self.model,
            objective=self.objective,
            batches=self.batches,
            validate=lambda _: {"accuracy": 0.0},
            score="accuracy",
            optimiser=OptimiserSettings(),
            schedule=Schedule(),
            total_steps=steps,
            device=CPU,
            weighing=self.weighing,
            outer=self.outer,
        )

    def epoch(self) -> float:
        """Milliseconds a step."""
        steps = len(self.batches)
        began = time.process_time()
        self.loop(steps).fit(None)
        return 1000 * (time.process_time() - began) / steps


def whole(steps: int, weighting: Mapping[str, Any] | None) -> int:
    """At least so many steps, and as many to every update of the network as there are in a long training."""
    every = (weighting or {}).get("every", 1)
    return math.ceil(steps / every) * every


def medians(cases: Mapping[str, Case], rounds: int) -> dict[str, float]:
    """Median milliseconds a step, by case; the first round warms up and does not count."""
    names, times = list(cases), {name: list[float]() for name in cases}
    for turn in range(rounds + 1):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            taken = cases[name].epoch()
            if turn:
                times[name].append(taken)
    return {name: statistics.median(taken) for name, taken in times.items()}


def hypergradient_error() -> float:
    """Largest error over the largest entry, of a whole stepper's gradient against double back-propagation."""
    case = Case("resnet8", 10, BATCH, {"dim": 16}, double=True)
    loop, eta = case.loop(1), 0.1
    loop.model.train()
    stepper = loop._stepper(loop.model, loop.optimiser.build(loop.model.parameters()))
    assert isinstance(stepper, UnrolledStepper)
    batch = next(loop.batches.epoch(0, 0, 1))
    view, terms = loop._terms(batch, loop.forward(batch))
    compared = Compared(batch, view, terms, loop.objective.weights, batch.size)
    before = [p.detach().clone() for p in stepper.omega]
    expected = torch.autograd.grad(_after_one_step(stepper, compared, eta), stepper.omega)
    stepper.learner = torch.optim.SGD(stepper.omega, 1.0)  # pyright: ignore[reportAttributeAccessIssue]
    stepper.add(compared)
    stepper.update(eta)
    moved = [start - now.detach() for start, now in zip(before, stepper.omega, strict=True)]
    worst = max(float((a - b).abs().max()) for a, b in zip(moved, expected, strict=True))
    return worst / max(float(b.abs().max()) for b in expected)


def _after_one_step(stepper: UnrolledStepper, compared: Compared, eta: float) -> Tensor:
    outer, batch = stepper.outer, compared.batch
    theta = {name: value.detach().requires_grad_() for name, value in outer.forward.parameters().items()}
    weights, terms = stepper.weighing.weights(compared), outer.compare(batch, outer.forward.at(theta, batch))
    inner = torch.stack([(weights[name] * term).sum() for name, term in terms.items()]).sum() / batch.size
    slopes = torch.autograd.grad(inner, list(theta.values()), create_graph=True)
    ahead = outer.batch(0)
    moved = {name: value - eta * slope for (name, value), slope in zip(theta.items(), slopes, strict=True)}
    return outer.objective.truth_term(View(outer.forward.at(moved, ahead), ahead.targets, size=ahead.size)).mean()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="resnet20", help="the student's architecture")
    parser.add_argument("--steps", type=int, default=10, help="fewest steps of a measured epoch")
    parser.add_argument("--rounds", type=int, default=4, help="measured epochs of each case")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    print(f"hypergradient error in float64: {hypergradient_error():.1e} of its largest entry", flush=True)
    cases = {name: Case(options.model, 100, BATCH * whole(options.steps, kind), kind) for name, kind in CASES.items()}
    found = medians(cases, options.rounds)
    print(f"batch {BATCH}, {options.model}, 100 categories, outer batch {BATCH // 4}")
    for name, taken in found.items():
        goal = f"  (goal: at most {GOALS[name]:g})" if name in GOALS else ""
        print(f"  {name:12} {taken:7.1f} ms a step  {taken / found['plain KD']:6.3f} of plain KD{goal}", flush=True)
    print("every 1, cnn, by categories; in brackets features: summary")
    for categories in (10, 100, 1000):
        kinds = {"plain": None, "full": {"every": 1}, "summary": {"every": 1, "features": "summary"}}
        taken = medians({name: Case("cnn", categories, 4 * BATCH, kind) for name, kind in kinds.items()}, 3)
        print(
            f"  {categories:5} {taken['full']:7.1f} ms a step  {taken['full'] / taken['plain']:6.3f} "
            f"({taken['summary'] / taken['plain']:.3f}) of plain KD", flush=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()
