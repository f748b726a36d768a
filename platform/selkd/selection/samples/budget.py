"""From weights to rates, and from rates to exact counts: how a budget of row-gradients is spent.

Shapes: n rows of the task. A rate is the expected number of uses of a row in one round.
"""

import torch
from torch import Tensor


def spread(weights: Tensor, budget: int) -> Tensor:
    """Rates [n] proportional to `weights` that sum to the budget; a rate above one repeats its row."""
    weights = weights.double()
    return weights * (budget / weights.sum())


def capped(weights: Tensor, budget: int) -> Tensor:
    """Rates min(1, c w) with the c that makes them sum to the budget; at least `budget` weights are positive."""
    values, order = weights.double().sort(descending=True, stable=True)
    rest = values.flip(0).cumsum(0).flip(0)  # [n] sum of this weight and all smaller ones
    left = budget - torch.arange(len(values), dtype=torch.float64)  # what is left once the first i rates are one
    full = int(((left > 0) & (left * values >= rest)).int().cummin(0).values.sum())
    rates = torch.ones_like(values)
    rates[full:] = values[full:] * (left[full:] / rest[full:])[:1].clamp(min=0).nan_to_num()
    return torch.empty_like(rates).scatter_(0, order, rates)


def systematic(rates: Tensor, start: float) -> Tensor:
    """Counts [n] of one round: each is its rate rounded up or down, and they sum to the sum of the rates.

    count_i = floor(R_i + u) - floor(R_{i-1} + u) with R the running sum and u in [0, 1) the start. Over a uniform
    start the expected count of a row is its rate (Madow, "On the theory of systematic sampling", 1949).
    """
    reached = rates.double().cumsum(0)
    total = reached[-1].round()
    reached = reached * (total / reached[-1])
    reached[-1] = total
    return (reached + start).floor().diff(prepend=reached.new_zeros(1)).long()
