"""The potentials of a plan with given marginals: kernel iterations where they are quick, Newton where they are not."""

from dataclasses import dataclass

import torch
from torch import Tensor

from selkd.transport.newton import newton
from selkd.transport.scaling import Scaled, scale

SINGLE = 30.0  # range over epsilon up to which float32 scalings keep float32's precision
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
        """Log plan, row and column potentials, converged, iterations, row and column errors; leading shapes kept."""
        lead, rows, cols = scores.shape[:-2], *scores.shape[-2:]
        single = scores.dtype == torch.float32 and self.ratio <= SINGLE and self.tolerance >= 5e-7
        kind = torch.float32 if single else torch.float64
        eps = epsilon.reshape(-1, 1).to(kind)
        a, b = row_mass.reshape(-1, rows).to(kind), col_mass.reshape(-1, cols).to(kind)
        b = b * (a.sum(-1, keepdim=True) / b.sum(-1, keepdim=True))
        logits = scores.reshape(-1, rows, cols).to(kind)
        top = logits.amax(-1)
        logits = (logits - top[..., None]).div_(eps[..., None])
        gamma = torch.zeros_like(b) if self.start is None else self.start.reshape(-1, cols).to(b) / eps
        found = self._found(logits, a, b, torch.where(b > 0, gamma, 0.0))
        gamma = torch.where(b > 0, found.gamma, -torch.inf)
        raised = logits.add_(gamma[:, None])
        log = raised.log_softmax(-1)
        column = b.argmax(-1)[:, None, None].expand(-1, rows, 1)
        norm = (raised.gather(-1, column) - log.gather(-1, column)).squeeze(-1)
        alpha = a.log() - norm
        log = log.add_(a.log()[..., None]).to(scores.dtype)
        row_error = (log.exp().sum(-1) - a).abs().sum(-1) / a.sum(-1)
        return (
            log.reshape(scores.shape),
            (eps * alpha - top).to(scores.dtype).reshape(*lead, rows),
            (eps * gamma).to(scores.dtype).reshape(*lead, cols),
            (found.error <= self.tolerance).reshape(lead),
            found.iterations.reshape(lead),
            row_error.to(scores.dtype).reshape(lead),
            found.error.to(scores.dtype).reshape(lead),
        )

    def _found(self, logits: Tensor, a: Tensor, b: Tensor, gamma: Tensor) -> Scaled:
        spread = self.ratio + float(gamma.amax() - gamma.amin())
        if spread > KERNEL:
            return self._annealed(logits, a, b, gamma)
        if len(logits) == 1:
            result = scale(
                logits[0], a[0], b[0], gamma[0], tolerance=self.tolerance, steps=self.steps, patience=patience(logits)
            )
            result = Scaled(*(part[None] for part in result))
        else:
            result = scale(logits, a, b, gamma, tolerance=self.tolerance, steps=self.steps, patience=patience(logits))
        left = (~(result.error <= self.tolerance)).nonzero().flatten()
        spent = int(result.iterations.max())
        if not len(left) or spent >= self.steps:
            return result
        if len(left) == len(a):
            part = newton(
                logits.double(),
                a.double(),
                b.double(),
                result.gamma.double(),
                tolerance=self.tolerance,
                steps=self.steps - spent,
            )
        else:
            part = newton(
                logits[left].double(),
                a[left].double(),
                b[left].double(),
                result.gamma[left].double(),
                tolerance=self.tolerance,
                steps=self.steps - spent,
            )
        return Scaled(
            result.gamma.index_copy(0, left, part.gamma.to(result.gamma)),
            result.error.index_copy(0, left, part.error.to(result.error)),
            result.iterations.index_copy(0, left, part.iterations + result.iterations[left]),
        )

    def _annealed(self, logits: Tensor, a: Tensor, b: Tensor, gamma: Tensor) -> Scaled:
        """Newton at ever smaller epsilon, each started from the last one's potentials."""
        heat = min(1.0, KERNEL / self.ratio / 3) if self.start is None else 1.0
        spent = torch.zeros(len(a), dtype=torch.int64, device=a.device)
        gamma = gamma * heat
        while True:
            last = heat == 1.0
            stage = newton(
                logits if last else logits * heat,
                a,
                b,
                gamma,
                tolerance=self.tolerance if last else 1e-2,
                steps=self.steps - int(spent.max()),
            )
            spent = spent + stage.iterations
            if last:
                return Scaled(stage.gamma, stage.error, spent)
            cooler = min(1.0, heat * ANNEAL)
            gamma, heat = stage.gamma * (cooler / heat), cooler


def patience(logits: Tensor) -> float:
    """Kernel iterations that cost as much as the Newton steps that would replace them."""
    return 100.0 + 1.0 * logits.shape[-1]
