"""How many units a difference needs, and which difference so many units can tell.

The paired t-test's power from the noncentral t distribution (Cohen 1988, section 2.3): with n units, a difference d
and a deviation s, the statistic has n - 1 degrees of freedom and noncentrality sqrt(n) d / s. The permutation test has
nearly that power on normal differences, and cannot reject at all below `fewest` units.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from selkd.comparison.statistics.clusters import Clusters, Floats, finite

MOST = 1_000_000
"""Units beyond which a number is no help."""


@dataclass(frozen=True)
class Needed:
    """Units that a difference needs, with the interval that the pilot's deviation leaves; None where undefined."""

    difference: float
    power: float
    alpha: float
    pilot_units: int
    deviation: float
    deviation_low: float
    deviation_high: float
    units: int | None
    units_low: int | None
    units_high: int | None
    more: int | None  # beyond the pilot's
    detectable: float  # the difference that the pilot's number of units tells at this power
    reason: str = ""


def power_of(units: int, difference: float, deviation: float, alpha: float = 0.05) -> float:
    """The chance that a two-sided paired test of `units` units tells `difference`."""
    if units < 2:
        return 0.0
    bar, shift = float(stats.t.isf(alpha / 2, units - 1)), math.sqrt(units) * abs(difference) / deviation
    if shift > bar + 40:
        return 1.0
    far = float(stats.nct.sf(bar, units - 1, shift))
    near = float(stats.nct.cdf(-bar, units - 1, shift))
    return far + (near if math.isfinite(near) else 0.0)


def fewest(alpha: float = 0.05) -> int:
    """The units below which no sign flips reach `alpha`: 2 / 2^n <= alpha, so 6 at 0.05."""
    return math.ceil(math.log2(2 / alpha) - 1e-12)


def units_needed(difference: float, deviation: float, *, power: float = 0.8, alpha: float = 0.05) -> int | None:
    """The fewest units that tell `difference` with `power`; None if that is beyond a million."""
    _check(power, alpha, deviation)
    if not difference:
        raise ValueError("a difference of 0 cannot be told with any number of units")

    def enough(units: int) -> bool:
        return power_of(units, difference, deviation, alpha) >= power

    low = high = max(2, fewest(alpha))
    while not enough(high):
        low, high = high, high * 2
        if high > MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def detectable(units: int, deviation: float, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest difference that `units` units tell with `power`; infinite where they cannot reject at all."""
    _check(power, alpha, deviation)
    if units < max(2, fewest(alpha)):
        return math.inf
    top = 10.0
    while power_of(units, top, 1.0, alpha) < power:
        top *= 2
    found = optimize.root_scalar(lambda d: power_of(units, d, 1.0, alpha) - power, bracket=(0.0, top))
    return deviation * float(found.root)


def needed(
    differences: Sequence[float] | Floats,
    difference: float,
    clusters: Clusters = None,
    *,
    power: float = 0.8,
    alpha: float = 0.05,
    level: float = 0.95,
) -> Needed:
    """What a pilot's differences say of the units that `difference` needs.

    The deviation's interval is the chi-square one, (n - 1) s^2 / chi2; with clusters, of their means.
    """
    given, unit, _ = finite(differences, clusters)
    means = np.bincount(unit, given) / np.bincount(unit) if len(given) else given
    n, asked = len(means), {"difference": difference, "power": power, "alpha": alpha, "pilot_units": len(means)}
    if n < 2 or means.min() == means.max():
        why = f"{n} units show no deviation" if n < 2 else "all differences are equal: there is no deviation to plan by"
        unknown = dict.fromkeys(("deviation", "deviation_low", "deviation_high", "detectable"), math.nan)
        return Needed(**asked, **unknown, units=None, units_low=None, units_high=None, more=None, reason=why)
    deviation = float(means.std(ddof=1))
    low, high = (deviation * math.sqrt((n - 1) / stats.chi2.isf(tail, n - 1)) for tail in _tails(level))
    units, fewer, most = (units_needed(difference, s, power=power, alpha=alpha) for s in (deviation, low, high))
    told = detectable(n, deviation, power=power, alpha=alpha)
    why = [f"{n} units cannot reach p = {alpha}: it takes {fewest(alpha)}"] if math.isinf(told) else []
    why += [f"more than {MOST} units"] if None in (units, fewer, most) else []
    return Needed(
        **asked,
        deviation=deviation,
        deviation_low=low,
        deviation_high=high,
        units=units,
        units_low=fewer,
        units_high=most,
        more=None if units is None else max(0, units - n),
        detectable=told,
        reason="; ".join(why),
    )


def _tails(level: float) -> tuple[float, float]:
    return (1 - level) / 2, (1 + level) / 2


def _check(power: float, alpha: float, deviation: float) -> None:
    if not (0 < alpha < power < 1):
        raise ValueError(f"alpha and power must be between 0 and 1, alpha the smaller, not {alpha} and {power}")
    if not (deviation > 0 and math.isfinite(deviation)):
        raise ValueError(f"the deviation must be positive and finite, not {deviation}")
