"""Intervals for a mean or a median, by resampling units (clusters as wholes).

Plain bootstrap intervals are too short at few units: of 95 % intervals of ten normal values some 91 % cover the mean.
They are therefore taken at a wider level, by the factor that makes the percentile interval of a normal mean as long as
Student's (Hesterberg 2015, What Teachers Should Know About the Bootstrap, section 5.3): the tail is
Phi(-sqrt(n / (n - 1)) t) with Student's t for n - 1 degrees of freedom. For clusters, n is their effective number.

What 95 % intervals then cover, simulated: means of 10 or more normal units 94 to 95 %, of exponential ones 92 to 94 %;
medians 93 to 97 %; means of 10 clusters of one to six values 93 %. At 5 units BCa covers 91 % of normal means and 88 %
of exponential ones, Student's interval 95 % and 88 %; the median's is from the least to the largest value and covers
1 - 2 / 2^5 = 93.75 %.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from selkd.comparison.statistics.clusters import Clusters, Floats, finite, missing

Statistic = Literal["mean", "median"]
Method = Literal["bca", "percentile", "t"]
TINY = 10
"""Units below which a mean's interval is Student's unless another is asked for."""
RESAMPLES = 10_000
SMALLEST_TAIL = 1e-9
"""No resample lies further out."""
_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Interval:
    """From `low` to `high`, how it was found, and why it is nan or not what was asked for."""

    low: float
    high: float
    level: float
    method: str
    reason: str = ""


def interval(
    values: Sequence[float] | Floats,
    clusters: Clusters = None,
    *,
    of: Statistic = "mean",
    level: float = 0.95,
    method: Method | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """An interval for the mean or the median of values, or of paired differences.

    Means take BCa (Efron 1987) from 10 units on and Student's t below; medians take percentiles, for BCa's jackknife
    fails on them. With clusters the mean is still that of all values.
    """
    if not 0 < level < 1:
        raise ValueError(f"the level must be between 0 and 1, such as 0.95, not {level}")
    given, unit, lost = finite(values, clusters)
    note = missing(lost) if lost else ""
    units = int(unit.max()) + 1 if len(unit) else 0
    if units < 2:
        why = "no value to resample" if not units else "one unit shows no spread"
        return Interval(math.nan, math.nan, level, "none", _joined(note, why))
    if given.min() == given.max():
        return Interval(float(given[0]), float(given[0]), level, "none", _joined(note, "all values are equal"))
    chosen = method or ("percentile" if of == "median" else "bca" if units >= TINY else "t")
    if of == "median" and chosen != "percentile":
        raise ValueError(f"a median has percentile intervals only, not {chosen!r}")
    if chosen == "t":
        few = "" if method else f"{units} units are too few to resample: differences are taken as roughly normal"
        return Interval(*_student(given, unit, level), level, "t", _joined(note, few))
    data, statistic = _mean_of(given, unit) if of == "mean" else _median_of(given, unit)
    low, high, used = _bootstrap(data, statistic, widened(level, _effective(unit)), chosen, resamples, seed)
    failed = "BCa is undefined here" if used != chosen else ""
    return Interval(low, high, level, used, _joined(note, failed))


def widened(level: float, units: float) -> float:
    """The level at which the percentile interval of a normal mean is as long as Student's (Hesterberg 2015)."""
    t = float(stats.t.isf((1 - level) / 2, units - 1))
    return 1 - 2 * max(float(stats.norm.sf(math.sqrt(units / (units - 1)) * t)), SMALLEST_TAIL)


def _effective(unit: NDArray[np.int64]) -> float:
    """Clusters of equal size that would tell as much, (sum m)^2 / sum m^2 (Kish 1965, section 5.4); at least two."""
    sizes = np.bincount(unit)
    return max(2.0, float(sizes.sum() ** 2 / (sizes**2).sum()))


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _student(values: Floats, unit: NDArray[np.int64], level: float) -> tuple[float, float]:
    """Student's interval; with clusters the variance is that of the ratio of sums to counts (Cochran 1977, 6.3)."""
    sums, counts = np.bincount(unit, values), np.bincount(unit)
    units, mean = len(sums), values.mean()
    residuals = (sums - mean * counts) / counts.mean()
    t = float(stats.t.isf((1 - level) / 2, _effective(unit) - 1))
    half = t * math.sqrt(float((residuals**2).sum()) / (units - 1) / units)
    return float(mean) - half, float(mean) + half


Resampled = tuple[tuple[Any, ...], Callable[..., Any]]


def _mean_of(values: Floats, unit: NDArray[np.int64]) -> Resampled:
    sums, counts = np.bincount(unit, values), np.bincount(unit).astype(float)

    def mean(sums: Floats, counts: Floats, axis: int = -1) -> Any:
        return sums.sum(axis) / counts.sum(axis)

    def plain(values: Floats, axis: int = -1) -> Any:
        return values.mean(axis)

    return ((sums / counts,), plain) if (counts == counts[0]).all() else ((sums, counts), mean)


def _median_of(values: Floats, unit: NDArray[np.int64]) -> Resampled:
    order = np.argsort(values, kind="stable")
    ordered, owner, units = values[order], unit[order], int(unit.max()) + 1

    def plain(values: Floats, axis: int = -1) -> Any:
        return np.median(values, axis)

    def median(drawn: NDArray[np.int64], axis: int = -1) -> Any:
        """The values halfway up, each counted as often as its cluster was drawn."""
        rows = drawn.reshape(-1, drawn.shape[-1]) + units * np.arange(drawn[..., 0].size)[:, None]
        times = np.bincount(rows.ravel(), minlength=units * len(rows)).reshape(len(rows), units)
        below = times[:, owner].cumsum(1)
        total = below[:, -1:]
        lower, upper = (below > (total - 1) // 2).argmax(1), (below > total // 2).argmax(1)
        return ((ordered[lower] + ordered[upper]) / 2).reshape(drawn.shape[:-1])

    return ((values,), plain) if units == len(values) else ((np.arange(units),), median)


def _bootstrap(
    data: tuple[Any, ...], statistic: Callable[..., Any], level: float, method: str, resamples: int, seed: int
) -> tuple[float, float, str]:
    """The interval and the method that gave it: percentiles where the bias correction or acceleration is undefined."""
    way = {"bca": "BCa", "percentile": "percentile"}[method]
    found = stats.bootstrap(
        data,
        statistic,
        n_resamples=resamples,
        batch=max(1, _AT_ONCE // len(data[0])),
        vectorized=True,
        paired=len(data) > 1,
        axis=-1,
        confidence_level=level,
        method=way,
        rng=np.random.default_rng(seed),
    )
    low, high = (float(end) for end in found.confidence_interval)
    if method == "bca" and math.isnan(low + high):
        tail = (1 - level) / 2
        low, high = (float(end) for end in np.quantile(found.bootstrap_distribution, (tail, 1 - tail)))
        return low, high, "percentile"
    return low, high, method
