"""The permutation test of paired differences.

Under the null hypothesis a unit's difference is as likely as its negative, so each of the 2^n ways to flip signs has
the same chance (Fisher 1935, The Design of Experiments, section 21). The statistic is the absolute sum.
"""

import functools
from dataclasses import dataclass

import numpy as np

from selkd.comparison.statistics.clusters import Floats

EXACT = 16
"""Units up to which all flips are counted."""
RESAMPLES = 19_999
"""Random flips beyond that. With the observed one among them the test keeps its level (Phipson and Smyth 2010)."""
ROUNDING = 1e-9
"""Sums that differ by less, relative to the largest possible, are the same number."""
_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Flips:
    """A two-sided p-value, and whether every flip was counted for it."""

    p: float
    exact: bool


def flip_signs(sums: Floats, *, seed: int = 0, resamples: int = RESAMPLES) -> Flips:
    """Share of sign flips whose absolute sum is at least the observed one; `sums` is one number a unit.

    Flipping a zero changes nothing, so zeros cost no exactness.
    """
    moving = sums[sums != 0]
    total = float(np.abs(moving).sum())
    bar = abs(float(moving.sum())) - ROUNDING * total
    if len(moving) <= EXACT:
        return Flips(float((np.abs(_all_signs(len(moving)) @ moving) >= bar).mean()), exact=True)
    rng, beyond = np.random.default_rng(seed), 0
    step = max(1, _AT_ONCE // len(moving))
    for start in range(0, resamples, step):
        flipped = rng.integers(0, 2, (min(step, resamples - start), len(moving)), dtype=np.int8)
        beyond += int((np.abs(2 * (flipped @ moving) - moving.sum()) >= bar).sum())
    return Flips((beyond + 1) / (resamples + 1), exact=False)


@functools.lru_cache(maxsize=EXACT + 1)
def _all_signs(n: int) -> Floats:
    """Half of the flips [2^(n - 1), n], the first sign kept: the other half has the same absolute sums."""
    if n == 0:
        return np.zeros((1, 0))
    numbers = np.arange(2 ** (n - 1))[:, None]
    return 1.0 - 2.0 * (numbers >> np.arange(n) & 1)[:, ::-1]
