"""The unrolled stepper: the student's own step, looked at from the outer rows, teaches the weighting's network.

The step is taken with the ratios that the network gives before it learns, so that one backward pass serves both. The
look-ahead is a plain gradient step at the current rate, whatever the optimiser and without its clipping.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from selkd.errors import UserError
from selkd.objectives import Objective, View
from selkd.training.batches import Batch, Batches
from selkd.training.forward import Forward, Parameters
from selkd.training.hypergradient import gradient_at, stepped, weight_slopes
from selkd.training.steppers import PlainStepper, share_gradients
from selkd.training.weighing import Compared, Weighing
from selkd.training.workers import Workers
from selkd.weighting.learned import LearnedSettings


@dataclass(frozen=True)
class Outer:
    """What the weighting's network is fitted to: the truth term of rows that do not train."""

    forward: Forward
    objective: Objective
    batches: Batches
    compare: Callable[[Batch, Tensor], Mapping[str, Tensor]]  # losses [b] by term of a training batch's logits

    def batch(self, update: int) -> Batch:
        """The outer rows of an update; a short last batch is left out."""
        whole = max(self.batches.per_epoch // self.batches.batch_size, 1)
        epoch, index = divmod(update, whole)
        return next(self.batches.epoch(epoch, index, index + 1))

    def loss(self, theta: Parameters, batch: Batch) -> Tensor:
        """This worker's share of the outer loss of the student with parameters theta."""
        view = View(self.forward.at(theta, batch), batch.targets, size=batch.size, first=batch.first)
        return self.objective.truth_term(view).sum() / batch.size


class UnrolledStepper(PlainStepper):
    """Plain steps; every so often the network moves so that the step would have lowered the outer loss further."""

    weighing: Weighing

    def __init__(
        self,
        parameters: list[nn.Parameter],
        optimiser: torch.optim.Optimizer,
        workers: Workers,
        *,
        weighing: Weighing,
        outer: Outer,
        clip: float | None = None,
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        super().__init__(parameters, optimiser, workers, clip=clip, scaler=scaler, weighing=weighing)
        settings = weighing.policy.settings
        assert isinstance(settings, LearnedSettings)
        self.settings, self.outer = settings, outer
        self.omega = list(weighing.policy.parameters())
        self.learner = torch.optim.Adam(self.omega, settings.lr, weight_decay=settings.weight_decay)
        self.latest: Compared | None = None

    def add(self, compared: Compared) -> None:
        super().add(compared)
        self.latest = compared

    def update(self, lr: float) -> None:
        """Learn from the step that is about to be made, then make it."""
        self.share_gradients()
        assert self.latest is not None
        if self.latest.batch.step % self.settings.every == 0:
            self._learn(self.latest, lr)
        self.move(lr)

    def _learn(self, compared: Compared, eta: float) -> None:
        weights = self.weighing.weights(compared)
        if not any(weight.requires_grad for weight in weights.values()):  # still warming up
            return
        slopes = self._slopes(compared, eta)
        if slopes is None:
            return
        torch.stack([(slopes[name] * weight).sum() for name, weight in weights.items()]).sum().backward()
        if self.workers.size > 1:
            share_gradients(self.omega, self.workers)
        if self.settings.bounded:
            nn.utils.clip_grad_norm_(self.omega, 1.0)
        self.learner.step()
        self.learner.zero_grad(set_to_none=True)

    def _slopes(self, compared: Compared, eta: float) -> dict[str, Tensor] | None:
        """d J_out / d w [b] by term; nothing where the outer loss has no slope or the step overflowed fp16."""
        theta, batch = self.outer.forward.parameters(), compared.batch
        gradient = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in theta.items()}
        ahead = self.outer.batch(batch.step // self.settings.every)
        v = gradient_at(lambda at: self.outer.loss(at, ahead), stepped(theta, gradient, eta))
        flat = self.workers.sum_(torch.cat([part.flatten() for part in v.values()]))
        size = float(flat.abs().amax())
        if size == 0 or (self.scaler.is_enabled() and not size < torch.inf):
            return None
        if not size < torch.inf:
            raise self._not_finite(batch, ahead, gradient)
        parts = flat.split([part.numel() for part in v.values()])
        v = {name: part.view_as(v[name]) for name, part in zip(v, parts, strict=True)}

        def losses(at: Parameters) -> dict[str, Tensor]:
            model = self.outer.forward.model
            with self._forward_mode("student.model", getattr(model, "network", model)):
                logits = self.outer.forward.at(at, batch)
            with self._forward_mode("objective.name", self.outer.objective):
                terms = self.outer.compare(batch, logits)
            return {name: compared.constants[name] * term for name, term in terms.items()}

        return weight_slopes(losses, theta, v, eta=eta, rows=compared.rows)

    @contextmanager
    def _forward_mode(self, key: str, module: nn.Module) -> Iterator[None]:
        """What torch cannot differentiate forwards is said in the user's words."""
        try:
            yield
        except NotImplementedError as error:
            if not re.search(r"forward (mode )?AD", str(error)):
                raise
            found = re.search(r"forward AD with (\S+)", str(error))
            operation = found[1] if found else "a torch.autograd.Function without jvp"
            raise UserError(
                f"{key}: weighting.policy {self.weighing.policy.name!r} needs forward-mode derivatives, and torch has "
                f"none of an operation of {type(module).__name__} ({operation}). Choose another {key} or another "
                "weighting.policy."
            ) from error

    def _not_finite(self, batch: Batch, ahead: Batch, gradient: Parameters) -> UserError:
        sound = all(bool(part.isfinite().all()) for part in gradient.values())
        kind, rows = ("outer rows", ahead.ids) if sound else ("rows", batch.ids)
        return UserError(
            f"training stopped: the slope of the outer loss is not finite at step {batch.step} ({kind} "
            f"{', '.join(map(str, rows[:8].tolist()))}{', ...' if len(rows) > 8 else ''}). The checkpoint of the last "
            "whole epoch is kept. Lower training.optimiser.lr, set training.clip, or look at these rows."
        )

    def state(self) -> dict[str, Any]:
        return super().state() | {"learner": self.learner.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        super().load(state)
        self.learner.load_state_dict(state["learner"])
