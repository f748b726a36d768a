"""The potentials of a plan with given marginals: kernel iterations where they are quick, Newton where they are not."""

from dataclasses import dataclass

import torch
from torch import Tensor

from selkd.transport.newton import newton
from selkd.transport.scaling import Scaled, scale

SINGLE = 30.0  # range over epsilon up to which float32 scalings keep float32's precision
FINEST = 5e-7  # the smallest tolerance that float32 column sums can meet
KERNEL = 300.0  # range over epsilon up to which a float64 kernel neither overflows nor loses a column
ANNEAL = 4.0  # factor between two values of epsilon


@dataclass(frozen=True)
class Iteration:
    """How long and how exactly to iterate, and from which column potentials."""

    tolerance: float
    steps: int
    ratio: float
    start: Tensor | None

    def __call__(self, scores: Tensor, row_mass: Tensor, col_mass: Tensor, epsilon: Tensor) -> tuple[Tensor, ...]:
        """Log plan, column potentials, converged, iterations, column error; leading shapes kept."""
        lead, (rows, cols) = scores.shape[:-2], scores.shape[-2:]
        single = scores.dtype == torch.float32 and self.ratio <= SINGLE and self.tolerance >= FINEST
        kind = torch.float32 if single else torch.float64
        flat = (-1,) if len(lead) else ()
        eps = epsilon.to(kind).reshape(*flat, 1)
        a, b = row_mass.to(kind).reshape(*flat, rows), col_mass.to(kind).reshape(*flat, cols)
        b = b * (a.sum(-1, keepdim=True) / b.sum(-1, keepdim=True))
        logits = scores.to(kind).reshape(*flat, rows, cols)
        logits = (logits - logits.amax(-1, keepdim=True)).div_(eps[..., None])
        gamma = torch.zeros_like(b) if self.start is None else self.start.to(kind).reshape(b.shape) / eps
        found = self._found(logits, a, b, gamma)
        log = logits.add_(found.gamma[..., None, :]).log_softmax(-1)
        log = log.add_(a.log()[..., None]).to(scores.dtype)
        return (
            log.reshape(scores.shape),
            (eps * found.gamma).to(scores.dtype).reshape(col_mass.shape),
            (found.error <= self.tolerance).reshape(lead),
            found.iterations.reshape(lead),
            found.error.to(scores.dtype).reshape(lead),
        )

    def _found(self, logits: Tensor, a: Tensor, b: Tensor, gamma: Tensor) -> Scaled:
        reach = self.ratio if self.start is None else self.ratio + float(gamma.amax() - gamma.amin())
        if reach > KERNEL:
            return self._annealed(logits, a, b, gamma)
        patience = 100.0 + logits.shape[-1]
        result = scale(logits, a, b, gamma, tolerance=self.tolerance, steps=self.steps, patience=patience)
        left = self.steps - int(result.iterations.max())
        if left <= 0 or bool((result.error <= self.tolerance).all()):
            return result
        if not result.error.dim():
            return _only(self._ascended(logits[None], a[None], b[None], result.gamma[None], left), result)
        open_ = (result.error > self.tolerance).nonzero().flatten()
        part = self._ascended(logits[open_], a[open_], b[open_], result.gamma[open_], left)
        return Scaled(
            result.gamma.index_copy(0, open_, part.gamma),
            result.error.index_copy(0, open_, part.error),
            result.iterations.index_add(0, open_, part.iterations),
        )

    def _ascended(self, logits: Tensor, a: Tensor, b: Tensor, gamma: Tensor, steps: int) -> Scaled:
        wide = newton(logits.double(), a.double(), b.double(), gamma.double(), tolerance=self.tolerance, steps=steps)
        return Scaled(wide.gamma.to(gamma), wide.error.to(gamma), wide.iterations)

    def _annealed(self, logits: Tensor, a: Tensor, b: Tensor, gamma: Tensor) -> Scaled:
        """Newton at ever smaller epsilon, each started from the last one's potentials."""
        if not len(a.shape) > 1:
            return _only(self._annealed(logits[None], a[None], b[None], gamma[None]), None)
        heat = min(1.0, KERNEL / self.ratio / 3) if self.start is None else 1.0
        spent = torch.zeros(len(a), dtype=torch.int64, device=a.device)
        gamma = gamma * heat
        while True:
            stage = newton(
                logits if heat == 1 else logits * heat,
                a,
                b,
                gamma,
                tolerance=self.tolerance if heat == 1 else 1e-2,
                steps=self.steps - int(spent.max()),
            )
            spent += stage.iterations
            if heat == 1:
                return Scaled(stage.gamma, stage.error, spent)
            cooler = min(1.0, heat * ANNEAL)
            gamma, heat = stage.gamma * (cooler / heat), cooler


def _only(batch: Scaled, before: Scaled | None) -> Scaled:
    """The one item of a batch, with the iterations spent before."""
    gamma, error, iterations = (part[0] for part in batch)
    return Scaled(gamma, error, iterations if before is None else iterations + before.iterations)
