"""The solution: a plan as its logarithm, how it was reached, and what it is worth."""

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Plan:
    """A transport plan P [..., B, K] = exp((scores + row_potential + col_potential) / epsilon).

    Errors are L1 distances of the marginals over the total mass, measured in the precision of the solver. Only `log`,
    `value` and `cost` carry gradients. An entry without mass has the logarithm -inf.
    """

    log: Tensor  # [..., B, K]
    row_potential: Tensor  # [..., B], in units of the scores
    col_potential: Tensor  # [..., K]
    converged: Tensor  # [...] bool
    iterations: Tensor  # [...] int64
    row_error: Tensor  # [...]
    col_error: Tensor  # [...]
    scores: Tensor = field(repr=False)
    epsilon: Tensor = field(repr=False)

    @property
    def cost(self) -> Tensor:
        """The sharp cost <P, C> with C = -scores, per batch item."""
        return -(self.log.exp() * self.scores).sum((-2, -1))

    @property
    def value(self) -> Tensor:
        """The regularised value <P, C> - epsilon H(P), H(P) = -sum P (log P - 1), with 0 log 0 = 0."""
        finite = torch.where(self.log == -torch.inf, 0.0, self.log)
        return self.cost + self.epsilon * (self.log.exp() * (finite - 1)).sum((-2, -1))
