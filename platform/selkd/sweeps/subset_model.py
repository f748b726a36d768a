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

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

Array = np.ndarray
Shares = tuple[float, float, float]

SHARES: tuple[Shares, ...] = (
    (1.0, 0.0, 0.0),
    (0.7, 0.3, 0.0),
    (0.4, 0.6, 0.0),
    (0.5, 0.25, 0.25),
    (0.2, 0.4, 0.4),
    (0.0, 0.0, 1.0),
)
NOISES = (1e-4, 1e-2, 0.1, 0.5)
LEVEL = 4.0
ENOUGH = 200  # points that choose the kernel; all are conditioned on


@dataclass(frozen=True)
class Kernel:
    """The covariance of subsets of `sizes` of `free` categories, in units of the scale."""

    free: int
    sizes: tuple[int, int]
    shares: Shares

    def __call__(self, left: Array, right: Array) -> Array:
        """Of every pair of [n, F] and [m, F]: [n, m]."""
        return self._of(left @ right.T, left.sum(1)[:, None], right.sum(1)[None])

    def diagonal(self, points: Array) -> Array:
        sizes = points.sum(1)
        return self._of(sizes, sizes, sizes)

    def _of(self, shared: Array, a: Array, b: Array) -> Array:
        """By the number of shared categories and the two sizes."""
        p = min(max(sum(self.sizes) / 2, 0.5), self.free - 0.5) / self.free
        single, pair, similar = self.shares
        linear = (shared - p * (a + b) + p * p * self.free) / (self.free * p * (1 - p))
        total = linear * (single + pair * linear)
        total += LEVEL * np.exp(-np.abs(a - b) / (1 + self.sizes[1] - self.sizes[0]))
        return total + similar * np.exp((2 * shared - a - b) / (2 * self.free * p)) if similar else total


class Posterior:
    """The belief about the value of every subset, given `values` [n] of `points` [n, F] with variances `noise` [n].

    The prior mean is 0; variances are in units of `scale`, by default the likeliest.
    """

    def __init__(self, kernel: Kernel, points: Array, values: Array, noise: Array, scale: float | None = None) -> None:
        self.kernel, self.points, self.values, self.noise = kernel, points, values, noise
        self._lower = np.linalg.cholesky(kernel(points, points) + np.diag(noise))
        self._whitened = _solve(self._lower, values)
        self.scale = scale or _likeliest_scale(self._whitened)

    def at(self, points: Array) -> tuple[Array, Array]:
        """Mean and standard deviation at [m, F], noise apart: each [m]."""
        cross = _solve(self._lower, self.kernel(self.points, points))
        variance = self.kernel.diagonal(points) - (cross**2).sum(0)
        return self._whitened @ cross, np.sqrt(self.scale * np.maximum(variance, 1e-10))

    def believing(self, points: Array) -> "Posterior":
        """As if `points` [m, F] had been told with the values that are expected of them."""
        values = np.append(self.values, self.at(points)[0])
        noise = np.append(self.noise, np.full(len(points), self.noise.max()))
        return Posterior(self.kernel, np.concatenate([self.points, points]), values, noise, self.scale)


def fit(points: Array, values: Array, repeats: Array, sizes: tuple[int, int]) -> Posterior:
    """The posterior with the likeliest kernel and noise, of values that are means of `repeats` [n] each.

    Values are shifted and scaled to mean 0 and variance 1, and so are those of the posterior.
    """
    values = (values - values.mean()) / (values.std() or 1.0)
    some = slice(None, None, 1 + (len(points) - 1) // ENOUGH)
    likeliest, kind = -np.inf, (SHARES[0], NOISES[0])
    for shares in SHARES:
        covariance = Kernel(points.shape[1], sizes, shares)(points[some], points[some])
        for noise in NOISES:
            evidence = _evidence(covariance + np.diag(noise / repeats[some]), values[some])
            if evidence > likeliest:
                likeliest, kind = evidence, (shares, noise)
    return Posterior(Kernel(points.shape[1], sizes, kind[0]), points, values, kind[1] / repeats)


def _evidence(covariance: Array, values: Array) -> float:
    """The logarithm of the marginal likelihood at the likeliest scale, up to a constant."""
    lower = np.linalg.cholesky(covariance)
    scale = _likeliest_scale(_solve(lower, values))
    return float(-len(values) / 2 * np.log(scale) - np.log(np.diag(lower)).sum())


def _likeliest_scale(whitened: Array) -> float:
    return max(float(whitened @ whitened) / len(whitened), 1e-12)


def _solve(lower: Array, right: Array) -> Array:
    return solve_triangular(lower, right, lower=True, check_finite=False)
