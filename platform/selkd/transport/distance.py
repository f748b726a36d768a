"""Transport between predictions over two label spaces that share one ground cost."""

from typing import Literal

import torch
from torch import Tensor

from selkd.transport.plan import Plan
from selkd.transport.problem import RowsAndColumns
from selkd.transport.solve import solve

Kind = Literal["sharp", "regularised", "debiased"]
CHUNK = 2**22  # plan entries held at once


def transport_distance(
    p: Tensor,
    q: Tensor,
    cost: Tensor,
    epsilon: Tensor | float,
    kind: Kind = "sharp",
    *,
    within: tuple[Tensor, Tensor] | None = None,
    tolerance: float = 1e-6,
    max_iterations: int = 1000,
) -> Tensor:
    """Distance [B] between distributions p [B, K1] and q [B, K2] under a ground cost [K1, K2].

    `sharp` is <P, C>, `regularised` adds -epsilon H(P), `debiased` is the Sinkhorn divergence
    W(p, q) - W(p, p) / 2 - W(q, q) / 2 of regularised values, with the costs `within` each label set
    ([K1, K1], [K2, K2]; Feydy et al., 2019).
    """
    if kind not in ("sharp", "regularised", "debiased"):
        raise ValueError(f"kind must be sharp, regularised or debiased, not {kind!r}")

    def distance(left: Tensor, right: Tensor, between: Tensor) -> Tensor:
        chunk = max(1, CHUNK // between.numel())
        return torch.cat(
            [
                _worth(
                    solve(
                        -between.expand(len(a), *between.shape),
                        RowsAndColumns(b, a),
                        epsilon=epsilon,
                        tolerance=tolerance,
                        max_iterations=max_iterations,
                    ),
                    kind,
                )
                for a, b in zip(left.split(chunk), right.split(chunk), strict=True)
            ]
        )

    if kind != "debiased":
        return distance(p, q, cost)
    if within is None:
        raise ValueError("the debiased distance needs `within`, the costs inside each label set")
    return distance(p, q, cost) - (distance(p, p, within[0]) + distance(q, q, within[1])) / 2


def _worth(plan: Plan, kind: Kind) -> Tensor:
    return plan.cost if kind == "sharp" else plan.value
