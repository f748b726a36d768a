"""How weighed losses become parameter updates: the plain way. `unrolled` is the other."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from selkd.training.weighing import Compared, Weighing
from selkd.training.workers import Workers


class PlainStepper:
    """Gradients of the summed losses, added over micro-batches and workers, then one optimiser step."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        optimiser: torch.optim.Optimizer,
        workers: Workers,
        *,
        clip: float | None = None,
        scaler: torch.amp.GradScaler | None = None,
        weighing: Weighing | None = None,
    ) -> None:
        self.parameters = [p for p in parameters if p.requires_grad]
        self.optimiser, self.workers = optimiser, workers
        self.clip = clip
        self.scaler = scaler or torch.amp.GradScaler("cpu", enabled=False)
        self.weighing = weighing

    def add(self, compared: Compared) -> None:
        """Add the gradient of this worker's share of the loss."""
        loss = summed(compared) if self.weighing is None else self.weighing.loss(compared)
        self.scaler.scale(loss / compared.rows).backward()

    def update(self, lr: float) -> None:
        """Move the parameters and forget the gradient."""
        self.share_gradients()
        self.move(lr)

    def share_gradients(self) -> None:
        """Every worker has the gradient of the whole batch, in its true scale."""
        if self.workers.size > 1:
            share_gradients(self.parameters, self.workers)
        self.scaler.unscale_(self.optimiser)

    def move(self, lr: float) -> None:
        """One step of the optimiser along the gradient that all share."""
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        state = {"optimiser": self.optimiser.state_dict(), "scaler": self.scaler.state_dict()}
        return state if self.weighing is None else state | {"weighing": self.weighing.state()}

    def load(self, state: dict[str, Any]) -> None:
        """Go on where a checkpoint was taken."""
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        if self.weighing is not None:
            self.weighing.load(state["weighing"])


def summed(compared: Compared) -> Tensor:
    """This worker's sum of losses, as the objective weighs them."""
    return torch.stack([compared.constants[name] * term.sum() for name, term in compared.terms.items()]).sum()


def share_gradients(parameters: Iterable[nn.Parameter], workers: Workers) -> None:
    """Sum the gradients of all workers, in one message."""
    parameters = list(parameters)
    flat = torch.cat([torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in parameters])
    workers.sum_(flat)
    for parameter, grad in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        parameter.grad = grad.view_as(parameter)
