"""The potentials of a plan with given marginals: kernel iterations where they are quick, Newton where they are not."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from selkd.transport.newton import newton
from selkd.transport.scaling import Scaled, scale

SINGLE = 30.0  # range over epsilon up to which float32 scalings keep float32's precision
FINEST = 5e-7  # the smallest tolerance that float32 column sums can meet
KERNEL = 300.0  # range over epsilon up to which a float64 kernel neither overflows nor loses a column
ANNEAL = 4.0  # factor between two values of epsilon
ROUGH = 1e-2  # column error at which the next epsilon is taken
PATIENCE = 100.0  # kernel iterations that cost as much as the Newton steps in their place, on a small problem
PATIENT = 4000.0  # entries of the plan for each further one
TRIES = 12  # Newton steps that a given start is worth, where the range is too large for a kernel


@dataclass(frozen=True)
class Iteration:
    """How long and how exactly to iterate, and from which column potentials."""

    tolerance: float
    steps: int
    ratio: float
    top: Tensor
    start: Tensor | None

    def __call__(self, scores: Tensor, row_mass: Tensor, col_mass: Tensor, epsilon: Tensor) -> tuple[Tensor, ...]:
        """Log plan, column potentials, converged, iterations, column error; leading shapes kept."""
        lead = scores.shape[:-2]
        if len(lead) > 1:
            start = None if self.start is None else self.start.flatten(0, -2)
            flat = replace(self, top=self.top.flatten(0, -2), start=start)
            found = flat(scores.flatten(0, -3), row_mass.flatten(0, -2), col_mass.flatten(0, -2), epsilon.flatten())
            return tuple(part.reshape(*lead, *part.shape[1:]) for part in found)
        fine = 0 < self.tolerance < FINEST
        single = scores.dtype == torch.float32 and self.ratio <= SINGLE and not fine
        kind = torch.float32 if single else torch.float64
        eps, a, b = epsilon.to(kind)[..., None], row_mass.to(kind), col_mass.to(kind)
        b = b * (a.sum(-1, keepdim=True) / b.sum(-1, keepdim=True))
        logits = scores.to(kind, copy=True).sub_(self.top.to(kind)[..., None]).div_(eps[..., None])
        gamma = None if self.start is None else self.start.to(kind) / eps
        found = self._found(logits, a, b, gamma)
        log = logits.add_(found.gamma[..., None, :]).add_(found.alpha[..., None])
        kept = scores.dtype
        potential, error = eps * found.gamma, found.error
        return log.to(kept), potential.to(kept), error <= self.tolerance, found.iterations, error.to(kept)

    def _found(self, logits: Tensor, a: Tensor, b: Tensor, gamma: Tensor | None) -> Scaled:
        """From S / eps with largest entry 0 in each row, which stays as it is."""
        far = gamma is not None and self.ratio + float(gamma.amax() - gamma.amin()) > KERNEL
        if far or self.ratio > KERNEL:
            begin = torch.zeros_like(b) if gamma is None else gamma
            parts = (part.double() for part in (logits, a, b, begin))
            if a.dim() > 1:
                return _like(a, self._annealed(*parts, started=gamma is not None))
            return _like(a, _first(self._annealed(*(part[None] for part in parts), started=gamma is not None)))
        patience = PATIENCE + a.numel() * b.shape[-1] / PATIENT if self.tolerance > 0 else torch.inf
        result = scale(logits, a, b, gamma, tolerance=self.tolerance, steps=self.steps, patience=patience)
        if float(result.error.max()) <= self.tolerance:
            return result
        left = self.steps - int(result.iterations.max())
        if left <= 0:
            return result
        if a.dim() == 1:
            end = self._ascended(logits[None], a[None], b[None], result.gamma[None], left)
            return _first(end._replace(iterations=end.iterations + result.iterations))
        open_ = (result.error > self.tolerance).nonzero().flatten()
        part = self._ascended(logits[open_], a[open_], b[open_], result.gamma[open_], left)
        part = part._replace(iterations=part.iterations + result.iterations[open_])
        return Scaled(*(whole.index_copy_(0, open_, new) for whole, new in zip(result, part, strict=True)))

    def _ascended(self, logits: Tensor, a: Tensor, b: Tensor, gamma: Tensor, steps: int) -> Scaled:
        parts = (part.double() for part in (logits, a, b, gamma))
        return _like(a, newton(*parts, tolerance=self.tolerance, steps=steps))

    def _annealed(self, logits: Tensor, a: Tensor, b: Tensor, gamma: Tensor, *, started: bool) -> Scaled:
        """Newton at ever smaller epsilon, each from the last one's potentials; a good start needs no such detour."""
        spent = torch.zeros(len(a), dtype=torch.int64, device=a.device)
        if started:
            stage = newton(logits, a, b, gamma, tolerance=self.tolerance, steps=min(TRIES, self.steps))
            if bool((stage.error <= self.tolerance).all()) or self.steps <= TRIES:
                return stage
            spent = stage.iterations
        heat, gamma = min(1.0, KERNEL / 3 / self.ratio), torch.zeros_like(b)
        while True:
            last = heat == 1
            steps = self.steps - int(spent.max())
            tolerance = self.tolerance if last else ROUGH
            stage = newton(logits if last else logits * heat, a, b, gamma, tolerance=tolerance, steps=steps)
            spent = spent + stage.iterations
            if last:
                return stage._replace(iterations=spent)
            cooler = min(1.0, heat * ANNEAL)
            gamma, heat = stage.gamma * (cooler / heat), cooler


def _like(masses: Tensor, wide: Scaled) -> Scaled:
    """In the precision of the masses."""
    return Scaled(wide.alpha.to(masses), wide.gamma.to(masses), wide.error.to(masses), wide.iterations)


def _first(batch: Scaled) -> Scaled:
    return Scaled(*(part[0] for part in batch))
