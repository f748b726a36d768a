"""Where a model promises most: expected improvement, maximised over the feasible subsets that were not seen."""

from collections.abc import Collection, Sequence

import numpy as np
from scipy.special import erfcx, ndtr

from selkd.sweeps.subset_model import Array, Posterior
from selkd.sweeps.subset_space import Feasible, Subset

NOTHING = -1


class Search:
    """Feasible subsets as points [F] of 0 and 1 over the categories that are free, and the improvement they promise."""

    def __init__(self, feasible: Feasible, seen: Collection[Subset]) -> None:
        self._feasible = feasible
        self._ids = [i for group in feasible.groups for i in group]
        self._group = np.array([number for number, group in enumerate(feasible.groups) for _ in group])
        self._seen = {point.tobytes() for point in self.points(seen)}

    def points(self, subsets: Collection[Subset]) -> Array:
        rows = [[self._feasible.categories[i] in subset for i in self._ids] for subset in subsets]
        return np.array(rows, float).reshape(len(rows), len(self._ids))

    def best(self, posterior: Posterior, best: float, subsets: Sequence[Subset]) -> Subset:
        """The most promising of these."""
        return subsets[int(np.argmax(self._promise(posterior, best, self.points(subsets))))]

    def climb(self, posterior: Posterior, best: float, starts: Sequence[Subset], rng: np.random.Generator) -> Subset:
        """The most promising of the local optima from `starts` under exchanging, adding and dropping one category."""
        optima = [self._climbed(posterior, best, start, rng) for start in self.points(starts)]
        promise, point = max(optima, key=lambda optimum: optimum[0])
        assert promise > -np.inf, "a start was not seen"
        return self._feasible.named([*self._feasible.must, *(self._ids[i] for i in np.flatnonzero(point))])

    def _climbed(
        self, posterior: Posterior, best: float, point: Array, rng: np.random.Generator
    ) -> tuple[float, Array]:
        promise, before = float(self._promise(posterior, best, point[None])[0]), np.nan
        while promise != before:
            before = promise
            for removed in rng.permutation(np.append(np.flatnonzero(point), NOTHING)):
                around = rng.permutation(self._around(point, removed))
                promises = self._promise(posterior, best, around)
                if promises.max(initial=-np.inf) > promise:
                    point, promise = around[promises.argmax()], float(promises.max())
        return promise, point

    def _around(self, point: Array, removed: int) -> Array:
        """`point` without `removed` (or `NOTHING`), alone and with any other category, where that is feasible."""
        base = point.copy()
        if removed != NOTHING:
            base[removed] = 0
        size = int(base.sum())
        taken = np.isin(self._group, self._group[base > 0])
        added = np.flatnonzero(~taken) if size < self._feasible.largest else np.array([], int)
        around = np.repeat(base[None], len(added) + 1, 0)
        around[np.arange(len(added)), added] = 1
        return around if size >= self._feasible.smallest else around[:-1]

    def _promise(self, posterior: Posterior, best: float, points: Array) -> Array:
        """The logarithm of the expected improvement; minus infinity for what was seen."""
        gain = log_expected_improvement(*posterior.at(points), best)
        return np.where([point.tobytes() in self._seen for point in points], -np.inf, gain)


def log_expected_improvement(mean: Array, spread: Array, best: float) -> Array:
    """log E max(value - best, 0) of normal values: log of s (phi(z) + z Phi(z)), z = (mean - best) / s.

    Below z = -1 without cancellation (Ament and others, Unexpected Improvements to Expected Improvement for Bayesian
    Optimization, 2023, equation 9).
    """
    z = (mean - best) / spread
    above, below = np.maximum(z, -1), np.clip(z, -1e6, -1)
    plain = np.log(np.exp(-(above**2) / 2) / np.sqrt(2 * np.pi) + above * ndtr(above))
    tail = np.log1p(below * np.sqrt(np.pi / 2) * erfcx(-below / np.sqrt(2))) - below**2 / 2 - np.log(2 * np.pi) / 2
    return np.log(spread) + np.where(z > -1, plain, tail)
