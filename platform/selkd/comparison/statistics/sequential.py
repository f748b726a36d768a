"""Looking more than once: the nominal alpha of each planned look, so that all looks together reject at most at alpha.

A spending function says how much of alpha may be used up by a share of the units (Lan and DeMets 1983); the boundary
of each look follows from the joint normal distribution of the looks' statistics, by the recursive integration of
Armitage, McPherson and Rowe (1969; Jennison and Turnbull 2000, chapter 19).

At a look the sign-flip p-value is held against the nominal alpha. It is exact at any number of units, where a normal
statistic rejects too often at few, and it is coarse at few units, which errs on the side of no rejection. Only the
correlation between the looks is taken from the normal distribution.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from scipy import optimize, stats

from selkd.comparison.statistics.clusters import Floats
from selkd.comparison.statistics.paired import smallest_p
from selkd.errors import UserError, nearest

Spending = Literal["obrien-fleming", "pocock"]
FARTHEST = 9.0
"""Deviations beyond which a normal statistic is never seen."""


def spent(fraction: float, alpha: float, spending: Spending) -> float:
    """How much of two-sided alpha may be used up by a fraction of the units (Lan and DeMets 1983).

    O'Brien-Fleming-like, in each tail: 2 - 2 Phi(z / sqrt(t)), Phi(z) = 1 - alpha / 4. Pocock-like:
    alpha log(1 + (e - 1) t).
    """
    if spending == "obrien-fleming":
        return 4 * float(stats.norm.sf(stats.norm.isf(alpha / 4) / math.sqrt(fraction)))
    return alpha * math.log1p((math.e - 1) * fraction)


def boundaries(
    fractions: Sequence[float], alpha: float = 0.05, spending: Spending = "obrien-fleming"
) -> tuple[float, ...]:
    """The absolute normal statistic that rejects at each look, taken at rising fractions of the planned units."""
    _check(fractions, alpha, spending)
    return _boundaries(tuple(map(float, fractions)), alpha, spending)


def crossing(bounds: Sequence[float], fractions: Sequence[float]) -> tuple[float, ...]:
    """The chance, without a difference, that a boundary has been crossed by each look."""
    walk, total, found = _START, 0.0, []
    for bound, fraction in zip(bounds, fractions, strict=True):
        total += walk.beyond(bound, fraction)
        walk = walk.held(bound, fraction)
        found.append(total)
    return tuple(found)


@dataclass(frozen=True)
class LookPlan:
    """The looks that were declared before the first one: units at each, the last being all there will be."""

    looks: tuple[int, ...]
    alpha: float = 0.05
    spending: Spending = "obrien-fleming"

    def __post_init__(self) -> None:
        if not self.looks or self.looks[0] < 1 or any(b <= a for a, b in pairwise(self.looks)):
            raise UserError(f"looks: {list(self.looks)} must be rising numbers of units, such as [10, 20, 40]")
        _check([look / self.looks[-1] for look in self.looks], self.alpha, self.spending)

    def nominal(self, units: Sequence[int] | None = None) -> tuple[float, ...]:
        """The two-sided alpha of each look, at the planned numbers of units or at those that were reached.

        A look may fall short of its plan (a student failed): its share of alpha shrinks with it. More units than
        planned, or a look more, were not declared and are refused.
        """
        reached = self.looks if units is None else tuple(units)
        if len(reached) > len(self.looks):
            raise UserError(
                f"looks: {list(reached)} are {len(reached)} looks where {len(self.looks)} were declared, "
                f"{list(self.looks)}. A look added afterwards voids the level: report it as exploratory, or declare a "
                "new study"
            )
        for number, (count, planned) in enumerate(zip(reached, self.looks, strict=False), 1):
            if count > planned:
                raise UserError(
                    f"looks: look {number} was declared at {planned} units, not {count}. Judge the first {planned}, "
                    "or report it as exploratory"
                )
        if not reached or reached[0] < 1 or any(b <= a for a, b in pairwise(reached)):
            raise UserError(f"looks: {list(reached)} must be rising numbers of units, one a look")
        bounds = boundaries([count / self.looks[-1] for count in reached], self.alpha, self.spending)
        return tuple(2 * float(stats.norm.sf(bound)) for bound in bounds)

    def hopeless(self) -> tuple[int, ...]:
        """Looks at so few units that not even the smallest sign-flip p-value could reject: better not declared."""
        return tuple(n for n, bar in zip(self.looks, self.nominal(), strict=True) if smallest_p(n) > bar)


@dataclass(frozen=True)
class Decision:
    """What the looks so far decide: rejected at which look, or the units of the next one, or neither: the end."""

    rejected: bool
    look: int  # the look that rejected, else the last one taken; counted from 1
    nominal: tuple[float, ...]
    next: int | None  # units of the next look, where one is left and none has rejected


def decide(plan: LookPlan, units: Sequence[int], p: Sequence[float]) -> Decision:
    """Hold the two-sided p-value of each look so far against its nominal alpha; the first that rejects decides."""
    if len(units) != len(p) or not all(0 <= value <= 1 for value in p):
        raise UserError(f"looks: {list(p)} must be one p-value for each of the looks {list(units)}")
    nominal = plan.nominal(units)
    for look, (value, bar) in enumerate(zip(p, nominal, strict=True), 1):
        if value <= bar:
            return Decision(True, look, nominal, None)
    left = plan.looks[len(units) :]
    return Decision(False, len(units), nominal, left[0] if left else None)


def _check(fractions: Sequence[float], alpha: float, spending: str) -> None:
    if not fractions or fractions[0] <= 0 or fractions[-1] > 1 or any(b <= a for a, b in pairwise(fractions)):
        raise UserError(f"looks: the fractions {list(fractions)} must rise within (0, 1]")
    if not 0 < alpha < 1:
        raise UserError(f"alpha: {alpha} must be between 0 and 1, such as 0.05")
    if spending not in ("obrien-fleming", "pocock"):
        raise UserError(f"spending: {spending!r} is unknown. {nearest(spending, ('obrien-fleming', 'pocock'))}")


@functools.lru_cache(maxsize=256)
def _boundaries(fractions: tuple[float, ...], alpha: float, spending: Spending) -> tuple[float, ...]:
    walk, before, found = _START, 0.0, []
    for fraction in fractions:
        now = spent(fraction, alpha, spending)
        bound = walk.bound(now - before, fraction)
        walk, before = walk.held(bound, fraction), now
        found.append(bound)
    return tuple(found)


@dataclass(frozen=True)
class _Walk:
    """Brownian motion at the last look among paths that crossed no boundary: places, and the chance at each."""

    fraction: float
    places: Floats
    chances: Floats

    def beyond(self, bound: float, fraction: float) -> float:
        """The chance that the statistic of the next look, place / sqrt(fraction), lies beyond the bound."""
        step, edge = math.sqrt(fraction - self.fraction), bound * math.sqrt(fraction)
        tails = stats.norm.sf((edge - self.places) / step) + stats.norm.sf((edge + self.places) / step)
        return float(self.chances @ tails)

    def bound(self, chance: float, fraction: float) -> float:
        """The bound beyond which lies a chance."""
        if self.beyond(FARTHEST, fraction) >= chance:
            return FARTHEST
        excess = optimize.root_scalar(lambda b: self.beyond(b, fraction) - chance, bracket=(0.0, FARTHEST), xtol=1e-10)
        return float(excess.root)

    def held(self, bound: float, fraction: float) -> "_Walk":
        """The paths that stay within the bound, by Gauss-Legendre quadrature fine enough for the step."""
        step, edge = math.sqrt(fraction - self.fraction), bound * math.sqrt(fraction)
        nodes, weights = _quadrature(int(min(1024, max(64, 8 * edge / step))))
        places = edge * nodes
        density: Floats = stats.norm.pdf((places[:, None] - self.places) / step) / step
        return _Walk(fraction, places, edge * weights * (density @ self.chances))


_START = _Walk(0.0, np.zeros(1), np.ones(1))


@functools.lru_cache(maxsize=32)
def _quadrature(count: int) -> tuple[Floats, Floats]:
    return np.polynomial.legendre.leggauss(count)
