"""How weighted losses become parameter updates."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

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
    ) -> None:
        self.parameters = [p for p in parameters if p.requires_grad]
        self.optimiser, self.workers = optimiser, workers
        self.clip = clip
        self.scaler = scaler or torch.amp.GradScaler("cpu", enabled=False)

    def add(self, loss: Tensor) -> None:
        """Add the gradient of this worker's share of the loss."""
        self.scaler.scale(loss).backward()

    def update(self, lr: float) -> None:
        """Move the parameters and forget the gradient."""
        self._share_gradients()
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        if self.clip is not None:
            self.scaler.unscale_(self.optimiser)
            nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)

    def _share_gradients(self) -> None:
        if self.workers.size == 1:
            return
        flat = torch.cat(
            [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in self.parameters]
        )
        self.workers.sum_(flat)
        for parameter, grad in zip(self.parameters, flat.split([p.numel() for p in self.parameters]), strict=True):
            parameter.grad = grad.view_as(parameter)
