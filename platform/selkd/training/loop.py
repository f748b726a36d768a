"""The training loop. It knows neither Ray nor MLflow: one process or a torch.distributed group, a debugger welcome."""

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from selkd.data import Part
from selkd.data.rows import at_once
from selkd.errors import UserError
from selkd.objectives import Objective, View
from selkd.training.batches import Batch, Batches
from selkd.training.checkpoints import Checkpoints
from selkd.training.ending import Moved, Paused
from selkd.training.forward import Forward
from selkd.training.optimisers import OptimiserSettings
from selkd.training.randomness import RowKeys
from selkd.training.schedules import Schedule
from selkd.training.steppers import PlainStepper
from selkd.training.unrolled import Outer, UnrolledStepper
from selkd.training.weighing import Compared, Weighing
from selkd.training.workers import Workers

CHECK_EVERY = 20


@dataclass(frozen=True)
class Epoch:
    """What one epoch did: reported when it ends."""

    epoch: int
    epochs: int
    step: int
    metrics: dict[str, float]


@dataclass
class Loop:
    """One student in training."""

    model: nn.Module
    objective: Objective
    batches: Batches
    validate: Callable[[nn.Module], dict[str, float]]
    score: str  # the validation metric that chooses the best epoch; larger is better
    optimiser: OptimiserSettings
    schedule: Schedule
    total_steps: int
    device: torch.device
    workers: Workers = field(default_factory=Workers)
    precision: str = "float32"
    clip: float | None = None
    accumulate: int = 1
    validate_every: int = 1  # epochs
    keys: RowKeys = field(default_factory=RowKeys)
    seed: int = 0
    weighing: Weighing | None = None
    outer: Batches | None = None  # rows that the weighting's network is fitted to, where it has one

    @property
    def forward(self) -> Forward:
        return Forward(self.model, self.keys, self.seed)

    def fit(
        self,
        checkpoints: Checkpoints | None,
        report: Callable[[Epoch], None] = lambda _: None,
        then: Callable[[Epoch], None] = lambda _: None,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        """Train from the last checkpoint, or from the start, to the end.

        Of every epoch that is validated `report` hears before its checkpoint is written, and `then` afterwards: there
        it may be ended. `between` is called between two updates; `Moved` and `Paused` from there end training after a
        checkpoint.
        """
        trained = nn.ModuleDict({"model": self.model, "objective": self.objective})
        optimiser = self.optimiser.build(p for p in trained.parameters() if p.requires_grad)
        stepper = self._stepper(trained, optimiser)
        step, best, watch = 0, -math.inf, _Watch()
        if checkpoints is not None and (state := checkpoints.last()) is not None:
            trained.load_state_dict(state["trained"])
            stepper.load(state["stepper"])
            step, best = state["step"], state["best"]
            if self.batches.rounds is not None:
                self.batches.rounds.load(state["rounds"])
            if state.get("within"):
                self._reopen(state["within"], watch)

        def kept(step: int, rounds: dict[str, Any], within: dict[str, Any]) -> dict[str, Any]:
            return {
                "trained": trained.state_dict(), "stepper": stepper.state(), "step": step, "best": best,
                "rounds": rounds, "within": within,
            }  # fmt: skip

        def pause(step: int) -> None:
            """Between two updates of an epoch: what it amounts to so far is kept with everything else."""
            try:
                between()
            except (Moved, Paused):
                self._stop_if_not_finite(watch)
                self._refuse_parameters(trained, step)
                if checkpoints is not None:
                    rounds = self.batches.rounds.state() if self.batches.rounds is not None else {}
                    checkpoints.save(kept(step, rounds, self._within(watch)), step, best=False)
                raise

        per_epoch = len(self.batches)
        epochs = math.ceil(self.total_steps / per_epoch)
        while step < self.total_steps:
            epoch, stop = step // per_epoch, min((step // per_epoch + 1) * per_epoch, self.total_steps)
            metrics = self._train_epoch(stepper, watch, step, stop, pause)
            watch = _Watch()
            self._refuse_parameters(trained, stop)
            step = stop
            rounds = self._learned(epoch, stop)
            if (epoch + 1) % self.validate_every and step < self.total_steps:
                continue
            metrics |= {f"validation/{k}": v for k, v in self._validated().items()}
            score = metrics[f"validation/{self.score}"]
            better = score > best or best == -math.inf  # a score that is never defined makes the last epoch the best
            best = max(best, score) if math.isfinite(score) else best
            reached = Epoch(epoch + 1, epochs, step, metrics)
            self.workers.lead(partial(_keep, checkpoints, kept(step, rounds, {}), reached, better, report))
            self.workers.lead(partial(then, reached))

    def _stepper(self, trained: nn.Module, optimiser: torch.optim.Optimizer) -> PlainStepper:
        parameters = list(trained.parameters())
        scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        if self.weighing is None or self.outer is None:
            return PlainStepper(
                parameters, optimiser, self.workers, clip=self.clip, scaler=scaler, weighing=self.weighing
            )
        outer = Outer(self.forward, self.objective, self.outer, lambda batch, logits: self._terms(batch, logits)[1])
        return UnrolledStepper(
            parameters, optimiser, self.workers, clip=self.clip, scaler=scaler, weighing=self.weighing, outer=outer
        )

    def _train_epoch(
        self, stepper: PlainStepper, watch: "_Watch", start: int, stop: int, pause: Callable[[int], None]
    ) -> dict[str, float]:
        """An epoch's updates from step `start` on; returns the mean of every term over all the rows it saw."""
        self.model.train()
        self.objective.train()
        per_epoch = len(self.batches)
        epoch, first = divmod(start, per_epoch)
        watch.resume()
        for batch in self.batches.epoch(epoch, first, stop - epoch * per_epoch):
            view, terms = self._terms(batch, self._answered(batch))
            group = batch.step - (batch.step % per_epoch) % self.accumulate  # first step of this update
            size = sum(map(self.batches.size, range(group, min(group + self.accumulate, stop))))
            stepper.add(Compared(batch, view, terms, self.objective.weights, size))
            watch.add(terms, batch)
            if (batch.step + 1) % CHECK_EVERY == 0:
                self._stop_if_not_finite(watch)
            if batch.step + 1 in (group + self.accumulate, stop):
                stepper.update(self.optimiser.lr * self.schedule.rate(batch.step, self.total_steps))
                if batch.step + 1 < stop:
                    pause(batch.step + 1)
        self._stop_if_not_finite(watch)
        metrics = {f"train/{name}": value / watch.rows for name, value in watch.sums(self.workers).items()}
        metrics["train/loss"] = sum(self.objective.weights[k.removeprefix("train/")] * v for k, v in metrics.items())
        if self.weighing is not None:
            metrics |= self.weighing.close(self.workers)
        metrics["train/rows_per_second"] = watch.rows / watch.seconds
        metrics["train/lr"] = self.optimiser.lr * self.schedule.rate(stop - 1, self.total_steps)
        return metrics

    def _within(self, watch: "_Watch") -> dict[str, Any]:
        """What an epoch that is not over amounts to so far."""
        return watch.state() | ({"weighing": self.weighing.noted()} if self.weighing is not None else {})

    def _reopen(self, within: dict[str, Any], watch: "_Watch") -> None:
        """Go on with the epoch that a checkpoint was taken in."""
        watch.load(within, self.device)
        if self.weighing is not None:
            self.weighing.reopen(within["weighing"], self.device)

    def _answered(self, batch: Batch) -> Tensor:
        """The student's logits [b, o]."""
        try:
            with self._autocast():
                return self.forward(batch)
        except ValueError as error:
            raise UserError(
                f"training.batch_size: {self.batches.batch_size} leaves a batch of {batch.size} rows, and the student "
                f"refuses it ({error}). Choose another size."
            ) from error

    def _terms(self, batch: Batch, student: Tensor) -> tuple[View, dict[str, Tensor]]:
        """What the objective sees of a batch, and its terms [b] as the sample policy weighs them."""
        teacher = batch.teacher if self.weighing is None else self.weighing.teacher(batch)
        view = View(student, batch.targets, teacher, batch.size, batch.first, self.workers.gather)
        try:
            return view, self._weighed(self.objective.terms(view))
        except ValueError as error:
            if self.workers.size == 1 and student.isfinite().all():
                raise
            raise self._not_finite(batch.step, "the student's output", math.nan) from error

    def _weighed(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """The terms times what the sample policy weighs them by."""
        if self.batches.rounds is None:
            return terms
        given = self.batches.rounds.policy.weigh(terms)
        return {name: term * given[name] if name in given else term for name, term in terms.items()}

    def _learned(self, epoch: int, stop: int) -> dict[str, Any]:
        """What the sample policy knows after an epoch that ended before step `stop`: for the checkpoint."""
        rounds = self.batches.rounds
        if rounds is None:
            return {}
        rounds.spent(epoch, sum(map(self.batches.size, range(epoch * len(self.batches), stop))))
        if stop < self.total_steps:
            rounds.learn(epoch, self._answers)
        return rounds.state()

    def _answers(self, rows: Tensor) -> Tensor:
        """The student's logits of the task's training rows `rows`."""
        part = self.batches.part
        chosen = Part(part.rows, part.index[self.batches.positions[rows]])
        return predict(self.model, chosen, self.device, self.batches.dtype, self.workers)

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self.precision not in ("bf16", "fp16"):
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16 if self.precision == "bf16" else torch.float16)

    def _validated(self) -> dict[str, float]:
        self.model.eval()
        return self.validate(self.model)

    def _refuse_parameters(self, trained: nn.Module, step: int) -> None:
        """A checkpoint before `step` with such parameters would be no use."""
        if not all(v.isfinite().all() for v in trained.state_dict().values() if v.is_floating_point()):
            raise self._not_finite(step - 1, "a parameter", math.nan)

    def _stop_if_not_finite(self, watch: "_Watch") -> None:
        found = watch.first_fault(self.workers)
        if found is None:
            return
        step, term, value = found
        raise self._not_finite(step, f"term {term!r}", value)

    def _not_finite(self, step: int, term: str, value: float) -> UserError:
        rows = self.batches.part.ids[self.batches.positions[self.batches.rows(step)]].tolist()
        lr = self.optimiser.lr * self.schedule.rate(step, self.total_steps)
        return UserError(
            f"training stopped: {term} became {value} at step {step} (learning rate {lr:.3g}, "
            f"rows {', '.join(map(str, rows[:8]))}{', ...' if len(rows) > 8 else ''}). The checkpoint of the last "
            "whole epoch is kept. Lower training.optimiser.lr, set training.clip, or look at these rows."
        )


def _keep(
    checkpoints: Checkpoints | None,
    state: dict[str, Any],
    reached: Epoch,
    best: bool,
    report: Callable[[Epoch], None],
) -> None:
    """The record first, then the checkpoint: a run killed between them logs the epoch again, with equal numbers."""
    report(reached)
    if checkpoints is not None:
        checkpoints.save(state, reached.step, best=best)


class _Watch:
    """What an epoch amounts to so far, and its first step that was not finite.

    Sums of terms are on the device: reading them is what costs.
    """

    def __init__(self) -> None:
        self.total: dict[str, Tensor] = {}
        self.fault: dict[str, Tensor] = {}  # [step, value] of the first fault; step is infinite while there is none
        self.rows = 0
        self._before, self._began = 0.0, 0.0  # seconds before the last start, and when that was

    def resume(self) -> None:
        """The clock runs from here on."""
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        return self._before + time.perf_counter() - self._began

    def add(self, terms: dict[str, Tensor], batch: Batch) -> None:
        self.rows += batch.size
        for name, term in terms.items():
            value = term.detach().double().sum()
            self.total.setdefault(name, torch.zeros_like(value)).add_(value)
            before = self.fault.get(name, value.new_tensor([math.inf, 0.0]))
            now = torch.stack([torch.full_like(value, batch.step), value])
            self.fault[name] = torch.where(torch.isfinite(value) | torch.isfinite(before[0]), before, now)

    def state(self) -> dict[str, Any]:
        """What a checkpoint within the epoch keeps; there is none after a fault."""
        return {"total": self.total, "rows": self.rows, "seconds": self.seconds}

    def load(self, state: dict[str, Any], device: torch.device) -> None:
        self.total = {name: value.to(device) for name, value in state["total"].items()}
        self.rows, self._before = state["rows"], state["seconds"]

    def sums(self, workers: Workers) -> dict[str, float]:
        return {name: float(workers.sum_(value.clone())) for name, value in self.total.items()}

    def first_fault(self, workers: Workers) -> tuple[int, str, float] | None:
        """Step, term and value of the earliest fault of any worker."""
        if not self.fault:
            return None
        names = sorted(self.fault)
        found = workers.gather(torch.stack([self.fault[name] for name in names]))  # [workers x terms, 2]
        worst = int(found[:, 0].argmin())
        step, value = found[worst].tolist()
        return None if step == math.inf else (int(step), names[worst % len(names)], value)


@torch.no_grad()
def predict(model: nn.Module, part: Part, device: torch.device, dtype: torch.dtype, workers: Workers) -> Tensor:
    """Logits [N, o] of the model over a part, on the CPU of every worker; each computes its share."""
    model.eval()
    rows = workers.share(torch.arange(len(part))).split(at_once(device))
    found = torch.cat([model(part.pixels(index).to(device).to(dtype) / 255) for index in rows])
    return workers.gather(found).cpu()
