"""What the told subsets say of the others: Gaussian process regression on which categories a subset contains.

A subset is a point x in {0, 1}^F. The covariance of two depends on how many categories they share and on their sizes,
never on which categories these are, so renaming changes nothing. It is a sum of
    an effect of every category   A = <x - p, x' - p> / (F p (1 - p)), p the mean share of the categories in a subset
    an effect of every pair       A^2
    what similar subsets share    exp(-|x - x'|_1 / (2 F p))
    the level                     4 exp(-||x|_1 - |x'|_1| / number of sizes)
The shares of the first three and of the noise are those with the largest marginal likelihood on a grid; the scale of
the values is profiled out (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, sections 2.2, 5.4.1).
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.linalg import solve_triangular

Array = np.ndarray

SHARES = ((1.0, 0.0, 0.0), (0.7, 0.3, 0.0), (0.4, 0.6, 0.0), (0.5, 0.25, 0.25), (0.2, 0.4, 0.4), (0.0, 0.0, 1.0))
NOISES = (1e-4, 1e-2, 0.1, 0.5)
LEVEL = 4.0
ENOUGH = 300  # points that choose the kernel; all points are conditioned on


@dataclass(frozen=True)
class Kernel:
    """The covariance of subsets of `sizes` of `free` categories, in units of the scale."""

    free: int
    sizes: tuple[int, int]
    shares: tuple[float, float, float] = SHARES[0]

    def __call__(self, left: Array, right: Array) -> Array:
        """Of every pair of [n, F] and [m, F]: [n, m]."""
        return self._of(left @ right.T, left.sum(1)[:, None], right.sum(1)[None])

    def diagonal(self, points: Array) -> Array:
        sizes = points.sum(1)
        return self._of(sizes, sizes, sizes)

    def _of(self, shared: Array, a: Array, b: Array) -> Array:
        """By the number of shared categories and the sizes."""
        p = min(max(sum(self.sizes) / 2, 0.5), self.free - 0.5) / self.free
        single, pair, similar = self.shares
        linear = (shared - p * (a + b) + p * p * self.free) / (self.free * p * (1 - p))
        total = LEVEL * np.exp(-np.abs(a - b) / (1 + self.sizes[1] - self.sizes[0])) + linear * (single + pair * linear)
        return total + similar * np.exp((2 * shared - a - b) / (2 * self.free * p)) if similar else total


@dataclass(frozen=True)
class Posterior:
    """The belief about the value of every subset, given `values` [n] at `points` [n, F], means of `repeats` [n] each."""

    kernel: Kernel
    noise: float
    points: Array
    values: Array
    repeats: Array

    def at(self, points: Array) -> tuple[Array, Array]:
        """Mean and standard deviation at [m, F], noise apart: each [m]."""
        cross = solve_triangular(self._lower, self.kernel(self.points, points), lower=True, check_finite=False)
        variance = self.kernel.diagonal(points) - (cross**2).sum(0)
        return self._whitened @ cross, np.sqrt(self.scale * np.maximum(variance, 1e-10))

    def believing(self, points: Array) -> "Posterior":
        """As if `points` had been told with the values that are expected of them."""
        told = (np.concatenate([self.points, points]), np.concatenate([self.values, self.at(points)[0]]))
        return replace(self, points=told[0], values=told[1], repeats=np.append(self.repeats, np.ones(len(points))))

    @cached_property
    def evidence(self) -> float:
        """The logarithm of the marginal likelihood at the likeliest scale, up to a constant."""
        return -len(self.values) / 2 * np.log(self.scale) - np.log(np.diag(self._lower)).sum()

    @cached_property
    def scale(self) -> float:
        return max(float(self._whitened @ self._whitened) / len(self.values), 1e-12)

    @cached_property
    def _lower(self) -> Array:
        return np.linalg.cholesky(self.kernel(self.points, self.points) + np.diag(self.noise / self.repeats))

    @cached_property
    def _whitened(self) -> Array:
        return solve_triangular(self._lower, self.values, lower=True, check_finite=False)


def fit(points: Array, values: Array, repeats: Array, sizes: tuple[int, int]) -> Posterior:
    """The likeliest posterior of the grid; values come back in units of their spread around their mean."""
    values = (values - values.mean()) / (values.std() or 1.0)
    some = slice(None, None, 1 + (len(points) - 1) // ENOUGH)
    likeliest = max(
        (
            Posterior(Kernel(points.shape[1], sizes, shares), noise, points[some], values[some], repeats[some])
            for shares in SHARES
            for noise in NOISES
        ),
        key=lambda posterior: posterior.evidence,
    )
    return replace(likeliest, points=points, values=values, repeats=repeats)
