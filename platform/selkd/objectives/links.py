"""What ties a teacher's categories to the student's outputs, where the two are not the same.

Shapes: K1 categories of the teacher, K of the data, o outputs of the student: the selected k, and in open tasks "not
selected".
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

LEAST = 1e-8  # probabilities below are raised to it


@dataclass(frozen=True)
class Link:
    """One teacher: how near its categories are to the outputs, and how much it counts among several."""

    cost: Tensor  # [K1, o]
    same: Tensor  # [K1, o] whether the two are one category
    theirs: Tensor | None = None  # [K1, K1] costs among its categories
    ours: Tensor | None = None  # [o, o] costs among the outputs
    share: float = 1.0


def link(
    cost: Tensor,
    same: Tensor,
    ids: Tensor,
    mode: Literal["closed", "open"],
    *,
    theirs: Tensor | None = None,
    ours: Tensor | None = None,
    share: float = 1.0,
) -> Link:
    """From costs [K1, K] and [K, K] of all categories of the data to those of a task that selects `ids`.

    "Not selected" costs what the nearest category that is not selected costs.
    """
    among = None if ours is None else _columns(_columns(ours, ids, mode).T, ids, mode).T
    if among is not None:
        among = among.clone().fill_diagonal_(0)
    return Link(_columns(cost, ids, mode), ~_columns(~same, ids, mode), theirs, among, share)


def _columns(values: Tensor, ids: Tensor, mode: str) -> Tensor:
    """The selected columns; in open tasks one more, the least of the others."""
    if mode == "closed":
        return values[:, ids]
    others = torch.ones(values.shape[1], dtype=torch.bool)
    others[ids] = False
    return torch.cat([values[:, ids], values[:, others].amin(1, keepdim=True)], 1)


def probabilities(scores: Tensor, temperature: float) -> Tensor:
    """softmax(scores / temperature), no entry below 1e-8."""
    log_p = (scores / temperature).log_softmax(1).clamp(min=torch.tensor(LEAST).log().item())
    return log_p.softmax(1)


def mapped(p: Tensor, cost: Tensor, epsilon: float) -> Tensor:
    """The distribution [b, o] to which p [b, K1] is carried: p A with A = softmax(-cost / epsilon) in each row.

    It minimises the regularised transport distance from p over all q (without the column constraint each row of the
    plan is p_k A_k).
    """
    return p @ (-cost / epsilon).softmax(1)
