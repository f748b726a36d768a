"""From scores to an order of preference; the rows kept are its first ones, so keeping more keeps all that fewer would.

Shapes: n rows of the task, o outputs of the student.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Zone = Literal["hard", "easy", "middle"]


def el2n(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Euclidean distance [n] of probabilities [n, o] from the one-hot label (Paul et al. 2021)."""
    truth = F.one_hot(labels, probabilities.shape[1])
    return (probabilities.double() - truth).square().sum(1).sqrt()


def doubt(probabilities: Tensor, labels: Tensor) -> Tensor:
    """One less the margin of the true output over the best other one, [n]: large near and beyond the boundary."""
    probabilities = probabilities.double()
    true = probabilities.gather(1, labels[:, None])
    others = probabilities.scatter(1, labels[:, None], -torch.inf)
    return 1 - (true[:, 0] - others.amax(1))


def entropy(probabilities: Tensor) -> Tensor:
    """Entropy [n] in nats."""
    return torch.special.entr(probabilities.double()).sum(1)


def preferred(scores: Tensor, zone: Zone) -> Tensor:
    """Rows [n] from the most to the least wanted: high scores are hard; ties go to the first row."""
    if zone == "easy":
        return scores.argsort(stable=True)
    order = scores.argsort(descending=True, stable=True)
    if zone == "middle":
        places = torch.arange(len(order))
        order = order[(2 * places - (len(order) - 1)).abs().argsort(stable=True)]
    return order


def balanced(order: Tensor, labels: Tensor) -> Tensor:
    """The same preference within every category, interleaved so that each keeps its share.

    The row of place r (from 0) among the n_c of its category comes at (r + 1/2) / n_c: Webster's apportionment, so a
    share f with whole f n_c keeps exactly f n_c of every category.
    """
    mine = labels[order]
    return order[((places(mine) + 0.5) / torch.bincount(labels)[mine]).argsort(stable=True)]


def one_of_each(order: Tensor, labels: Tensor) -> Tensor:
    """The same preference, after the most wanted row of every category."""
    return order[(places(labels[order]) > 0).int().argsort(stable=True)]


def places(categories: Tensor) -> Tensor:
    """How many rows of the same category come before each."""
    by_category = categories.argsort(stable=True)
    sizes = torch.bincount(categories)
    first = (sizes.cumsum(0) - sizes)[categories[by_category]]
    return torch.empty_like(by_category).scatter_(0, by_category, torch.arange(len(categories)) - first)


def kept(rows: Tensor, n: int) -> Tensor:
    """Rates [n]: one for the rows, zero for the others."""
    return torch.zeros(n, dtype=torch.float64).index_fill_(0, rows, 1.0)
