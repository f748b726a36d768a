"""How much of a chosen candidate's lead is the luck of being chosen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from selkd.comparison.statistics.clusters import Floats

RESAMPLES = 2_000
_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Optimism:
    """By how much the best of several candidates looks better than it is, in the metric's unit; nan with a reason."""

    value: float
    chosen: int  # the candidate with the best mean; -1 without one
    again: float  # share of resamples that choose it too
    units: int  # units in which every candidate has a value
    reason: str = ""


def optimism(
    scores: Sequence[Sequence[float]] | Floats,
    *,
    higher_is_better: bool = True,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Optimism:
    """Optimism of choosing by the mean of scores [candidates, units].

    Units are resampled; the candidate with the best mean on them is looked up on the units left out (Efron 1983). The
    gap is that of a choice by n / (2 - 1 / n) units, as noisy as a resample's mean, and optimism falls with the root
    of the units: so it is divided by sqrt(2 - 1 / n).
    """
    table = np.asarray(scores, dtype=np.float64) * (1.0 if higher_is_better else -1.0)
    if table.ndim != 2 or not len(table):
        raise ValueError(f"scores must have a row a candidate and a column a unit, not the shape {list(table.shape)}")
    complete = np.isfinite(table).all(0)
    lost, table = int((~complete).sum()), table[:, complete]
    note = f"{lost} units lack a candidate's value and are left out" if lost else ""
    k, n = table.shape
    best = int(table.mean(1).argmax()) if n else -1
    if k == 1 and n:
        return Optimism(0.0, best, 1.0, n, note)
    if n < 2:
        why = f"{n} units: choosing and checking need at least two"
        return Optimism(math.nan, best, math.nan, n, f"{note}; {why}" if note else why)
    rng, gaps, same, step = np.random.default_rng(seed), 0.0, 0, max(1, _AT_ONCE // max(k, n))
    counted = 0
    for start in range(0, resamples, step):
        times = rng.multinomial(n, np.full(n, 1 / n), min(step, resamples - start))
        times = times[(times == 0).any(1)]
        inside = times @ table.T / n
        chosen, rows = inside.argmax(1), np.arange(len(times))
        left = times == 0
        outside = (left @ table.T / left.sum(1, keepdims=True))[rows, chosen]
        gaps += float((inside[rows, chosen] - outside).sum())
        same += int((chosen == best).sum())
        counted += len(times)
    if not counted:
        return Optimism(math.nan, best, math.nan, n, "no resample left a unit out: ask for more")
    return Optimism(gaps / counted / math.sqrt(2 - 1 / n), best, same / counted, n, note)
