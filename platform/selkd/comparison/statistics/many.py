"""More than two at once: Friedman's test, Nemenyi's critical difference, Holm's correction."""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from selkd.comparison.statistics.clusters import Floats


@dataclass(frozen=True)
class Friedman:
    """Whether any of k levels differs over n blocks. Rank 1 is the best. What is nan has its reason in `reasons`."""

    n: int  # complete blocks
    incomplete: int  # blocks left out because a level's value is missing
    levels: int
    chi2: float
    chi2_p: float
    f: float  # Iman and Davenport's
    f_p: float
    mean_ranks: tuple[float, ...]
    reasons: Mapping[str, str] = field(default_factory=dict)


def friedman(scores: Sequence[Sequence[float]] | Floats, *, higher_is_better: bool = True) -> Friedman:
    """Friedman's test (1937) of scores [blocks, levels], and Iman and Davenport's F (1980), which is less timid.

    F = (n - 1) chi2 / (n (k - 1) - chi2) with k - 1 and (k - 1)(n - 1) degrees of freedom. Its p-value is never put
    below 1 / k!^(n - 1), the chance that all blocks agree.
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"scores must have a row a block and a column a level, not the shape {list(table.shape)}")
    complete = np.isfinite(table).all(1)
    table, lost = table[complete], int((~complete).sum())
    n, k = table.shape
    reasons = {"incomplete": f"{lost} blocks lack a level's value and are left out"} if lost else {}
    ranks = stats.rankdata(-table if higher_is_better else table, axis=1)
    means = tuple(map(float, ranks.mean(0))) if n else (math.nan,) * k
    if not n:
        reasons["mean_ranks"] = "no block has a value of every level"
    why = ""
    if k < 3:
        why = f"{k} levels: the test is for three or more"
    elif n < 2:
        why = f"{n} complete blocks: the test needs two or more"
    elif (table == table[:, :1]).all():
        why = "all levels are tied in every block"
    if why:
        reasons |= dict.fromkeys(("chi2", "chi2_p", "f", "f_p"), why)
        return Friedman(n, lost, k, math.nan, math.nan, math.nan, math.nan, means, reasons)
    chi2, chi2_p = map(float, stats.friedmanchisquare(*ranks.T))
    room = n * (k - 1) - chi2
    f = (n - 1) * chi2 / room if room > 1e-9 * n * k else math.inf
    f_p = max(float(stats.f.sf(f, k - 1, (k - 1) * (n - 1))), math.exp(-(n - 1) * math.lgamma(k + 1)))
    return Friedman(n, lost, k, chi2, chi2_p, f, f_p, means, reasons)


def critical_difference(levels: int, blocks: int, alpha: float = 0.05) -> float:
    """Nemenyi's: mean ranks that lie further apart differ (Demsar 2006, section 3.2.2), q sqrt(k (k + 1) / (6 n))."""
    return _critical_value(levels, alpha) * _rank_error(levels, blocks)


def nemenyi(mean_ranks: Sequence[float], blocks: int) -> Floats:
    """p-values [k, k] of all pairs of levels, already corrected for their number."""
    ranks = np.asarray(mean_ranks, dtype=np.float64)
    apart = np.abs(ranks[:, None] - ranks) / _rank_error(len(ranks), blocks)
    return np.asarray(stats.studentized_range.sf(apart * math.sqrt(2), len(ranks), np.inf)).clip(0, 1)


def groups(mean_ranks: Sequence[float], difference: float) -> list[tuple[int, ...]]:
    """Levels not told apart: the largest sets whose mean ranks all lie within `difference`, the best first.

    A set of one is no group: that level differs from all others.
    """
    order = sorted(range(len(mean_ranks)), key=lambda level: mean_ranks[level])
    found: list[tuple[int, ...]] = []
    reached = 0
    for start, best in enumerate(order):
        near = [level for level in order[start:] if mean_ranks[level] - mean_ranks[best] <= difference]
        if start + len(near) > reached and len(near) > 1:
            found.append(tuple(near))
        reached = max(reached, start + len(near))
    return found


def holm(p: Sequence[float] | Floats) -> Floats:
    """Holm's adjusted p-values (1979): the i-th smallest of m becomes the largest (m - j + 1) p_j of j <= i, at most 1.

    What is nan was not tested: it stays nan and does not count.
    """
    given = np.asarray(p, dtype=np.float64)
    tested = np.flatnonzero(~np.isnan(given))
    order = tested[np.argsort(given[tested], kind="stable")]
    adjusted = np.full(given.shape, math.nan)
    adjusted[order] = np.maximum.accumulate(given[order] * np.arange(len(order), 0, -1)).clip(max=1)
    return adjusted


def _rank_error(levels: int, blocks: int) -> float:
    return math.sqrt(levels * (levels + 1) / (6 * blocks))


@functools.lru_cache(maxsize=128)
def _critical_value(levels: int, alpha: float) -> float:
    return float(stats.studentized_range.ppf(1 - alpha, levels, np.inf)) / math.sqrt(2)
