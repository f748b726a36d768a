"""Scores to transport plans: exact, batched, differentiable to any order. Derivations and limits: docs/transport.md."""

from selkd.transport.distance import transport_distance
from selkd.transport.gather import gather_rows
from selkd.transport.ground import ground_cost
from selkd.transport.plan import Plan
from selkd.transport.problem import Constraint, Partial, Rows, RowsAndColumns
from selkd.transport.solve import solve

__all__ = [
    "Constraint",
    "Partial",
    "Plan",
    "Rows",
    "RowsAndColumns",
    "gather_rows",
    "ground_cost",
    "solve",
    "transport_distance",
]
