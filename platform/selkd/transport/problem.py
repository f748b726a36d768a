"""The problem: scores, a constraint on the plan's marginals, an entropic weight; refused here if it makes no sense.

Shapes: scores [..., B, K], row masses [..., B], column masses [..., K], mass and epsilon [...].
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """Row sums are given (one each by default), columns are free: a softmax."""

    row_mass: Tensor | None = None


@dataclass(frozen=True)
class RowsAndColumns:
    """Row and column sums are given; their totals agree."""

    col_mass: Tensor
    row_mass: Tensor | None = None


@dataclass(frozen=True)
class Partial:
    """Each row gives at most one, `mass` in total."""

    mass: Tensor | float


Constraint = Rows | RowsAndColumns | Partial


class Problem(NamedTuple):
    """Checked input: floating scores, masses and epsilon of their dtype and device, broadcast to the leading shape."""

    scores: Tensor
    top: Tensor  # [..., B], the largest score of each row
    epsilon: Tensor
    row_mass: Tensor
    col_mass: Tensor | None = None
    mass: Tensor | None = None
    ratio: float = 0.0  # r, the largest range of a row's scores over epsilon
    empty: bool = False  # whether some row or column has no mass


def checked(scores: Tensor, constraint: Constraint, epsilon: Tensor | float) -> Problem:
    """The problem in a solvable dtype, or an error that names the argument and its shape."""
    if not isinstance(scores, Tensor) or not scores.is_floating_point():
        kind = scores.dtype if isinstance(scores, Tensor) else type(scores).__name__
        raise TypeError(f"scores must be a floating-point tensor, not {kind}")
    if scores.dim() < 2 or scores.numel() == 0:
        raise ValueError(f"scores must be [..., B, K] and not empty, not {_shape(scores)}")
    if scores.dtype not in (torch.float32, torch.float64):
        scores = scores.float()
    lead = scores.shape[:-2]
    eps = _tensor("epsilon", epsilon, scores, lead)
    smallest, largest = _ends(epsilon)
    if not (smallest > 0 and math.isfinite(largest)):
        raise ValueError(f"epsilon must be positive and finite, not {_show(eps)}")
    low, high = scores.detach().amin(-1), scores.detach().amax(-1)
    ratio = float(((high - low).amax(-1) / eps.detach()).max())
    if not math.isfinite(ratio):
        raise ValueError(f"scores {_shape(scores)} must be finite, and their range over epsilon too, not {ratio}")
    if not isinstance(constraint, Constraint):
        raise TypeError(f"constraint must be Rows, RowsAndColumns or Partial, not {type(constraint).__name__}")
    rows = None if isinstance(constraint, Partial) else constraint.row_mass
    if rows is None:
        row_mass, least_row = scores.new_ones(()).expand(scores.shape[:-1]), 1.0
    else:
        row_mass, least_row = _masses("row_mass", rows, scores, scores.shape[:-1])
    if isinstance(constraint, Rows):
        return Problem(scores, high, eps, row_mass, ratio=ratio)
    if isinstance(constraint, Partial):
        mass, _ = _masses("mass", constraint.mass, scores, lead)
        if float(mass.detach().max()) > scores.shape[-2]:
            raise ValueError(
                f"mass {_show(mass)} is above the total of {scores.shape[-2]} rows of scores {_shape(scores)}"
            )
        return Problem(scores, high, eps, row_mass, mass=mass, ratio=ratio)
    col_mass, least_col = _masses("col_mass", constraint.col_mass, scores, (*lead, scores.shape[-1]))
    given, wanted = row_mass.detach().sum(-1), col_mass.detach().sum(-1)
    slack = 1e-5 if scores.dtype == torch.float32 else 1e-9
    if not float((given / wanted - 1).abs().max()) < slack:
        raise ValueError(
            f"col_mass {_shape(col_mass)} sums to {_show(wanted)}, but row_mass {_shape(row_mass)} to {_show(given)}; "
            "the totals must agree and be positive"
        )
    return Problem(scores, high, eps, row_mass, col_mass, ratio=ratio, empty=min(least_row, least_col) == 0)


def _tensor(name: str, value: Tensor | float, scores: Tensor, shape: tuple[int, ...]) -> Tensor:
    if not isinstance(value, Tensor):
        return scores.new_full(shape, value)
    if value.device != scores.device and value.dim():
        raise ValueError(f"{name} is on {value.device}, scores on {scores.device}")
    try:
        fitting = value.to(scores)
        return fitting if fitting.shape == shape else fitting.expand(shape)
    except RuntimeError:
        raise ValueError(f"{name} {_shape(value)} does not fit {list(shape)}, from scores {_shape(scores)}") from None


def _masses(name: str, value: Tensor | float, scores: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, float]:
    """The masses and the least of them."""
    masses = _tensor(name, value, scores, shape)
    least, most = _ends(value)
    if not (least >= 0 and math.isfinite(most)):
        raise ValueError(f"{name} {_shape(masses)} must be finite and not negative; it is within {[least, most]}")
    return masses, least


def _ends(values: Tensor | float) -> tuple[float, float]:
    if not isinstance(values, Tensor):
        return values, values
    least, most = values.detach().aminmax()
    return float(least), float(most)


def _shape(tensor: Tensor) -> str:
    return str(list(tensor.shape))


def _show(values: Tensor) -> str:
    return f"{float(values)}" if values.dim() == 0 else f"{[round(v, 6) for v in values.flatten()[:4].tolist()]}"
