"""What it costs to say one category for another, from descriptions of both."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Kind = Literal["cosine", "squared", "hierarchy", "zero-one"] | Callable[[Any, Any], Tensor]


def ground_cost(a: Any, b: Any, kind: Kind = "cosine") -> Tensor:
    """Costs [K1, K2] between the categories described by `a` and by `b`.

    `cosine` (1 - cos) and `squared` (squared Euclidean) take embeddings [K, d]; `hierarchy` takes paths from the root,
    and counts the edges between the ends; `zero-one` takes names. A function gets `a` and `b` and returns the costs.
    """
    if callable(kind):
        cost = kind(a, b)
    elif kind in ("cosine", "squared"):
        cost = _embedded(a, b, kind)
    elif kind == "hierarchy":
        cost = torch.tensor([[float(_edges(x, y)) for y in b] for x in a])
    elif kind == "zero-one":
        cost = torch.tensor([[float(x != y) for y in b] for x in a])
    else:
        raise ValueError(f"kind must be cosine, squared, hierarchy, zero-one or a function, not {kind!r}")
    if cost.shape != (len(a), len(b)):
        raise ValueError(f"the cost has shape {list(cost.shape)}, not [{len(a)}, {len(b)}]")
    if not bool(cost.isfinite().all()):
        raise ValueError(f"the cost {list(cost.shape)} must be finite")
    return cost


def _embedded(a: Tensor, b: Tensor, kind: str) -> Tensor:
    if a.dim() != 2 or b.dim() != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"a {list(a.shape)} and b {list(b.shape)} must be embeddings [K, d] of one dimension")
    if kind == "squared":
        return (a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T).clamp(min=0)
    for name, rows in (("a", a), ("b", b)):
        zero = (rows == 0).all(1).nonzero().flatten().tolist()
        if zero:
            raise ValueError(f"{name} {list(rows.shape)} has zero embeddings at {zero}: no cosine")
    return (1 - F.normalize(a, dim=1) @ F.normalize(b, dim=1).T).clamp(min=0)


def _edges(x: Sequence[Hashable], y: Sequence[Hashable]) -> int:
    shared = 0
    for left, right in zip(x, y, strict=False):
        if left != right:
            break
        shared += 1
    return len(x) + len(y) - 2 * shared
