"""The solution: a plan as its logarithm, how it was reached, and what it is worth."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from selkd.transport.problem import Problem


@dataclass(frozen=True)
class Plan:
    """A transport plan P [..., B, K] = exp((scores + row_potential + col_potential) / epsilon).

    Errors are L1 distances of the marginals over the total mass. Only `log`, `value` and `cost` carry gradients. An
    entry without mass has the logarithm -inf.
    """

    log: Tensor  # [..., B, K]
    col_potential: Tensor  # [..., K], in units of the scores
    converged: Tensor  # [...] bool
    iterations: Tensor  # [...] int64
    col_error: Tensor  # [...], in the precision of the solver
    problem: Problem = field(repr=False)

    @property
    def row_potential(self) -> Tensor:
        """[..., B], in units of the scores, read off each row's largest entry; -inf for a row without mass."""
        log, column = self.log.detach().max(-1)
        score = self.problem.scores.detach().gather(-1, column[..., None]).squeeze(-1)
        taken = self.col_potential.double().gather(-1, column)
        known = self.problem.epsilon[..., None] * log.double() - score - taken
        return torch.where(log == -torch.inf, log, known.to(log.dtype))

    @property
    def row_error(self) -> Tensor:
        """[...]; zero to rounding where row masses are given, and the excess over one where they are not."""
        sums, masses = self.log.detach().double().exp().sum(-1), self.problem.row_mass.detach().double()
        gap = sums - masses if self.problem.mass is None else (sums - masses).clamp(min=0)
        return gap.abs().sum(-1) / masses.sum(-1)

    @property
    def cost(self) -> Tensor:
        """The sharp cost <P, C> with C = -scores, per batch item."""
        return -(self.log.exp() * self.problem.scores).sum((-2, -1))

    @property
    def value(self) -> Tensor:
        """The regularised value <P, C> - epsilon H(P), H(P) = -sum P (log P - 1), with 0 log 0 = 0."""
        finite = torch.where(self.log == -torch.inf, 0.0, self.log)
        return self.cost + self.problem.epsilon * (self.log.exp() * (finite - 1)).sum((-2, -1))
