"""Values that belong together: the clusters are the independent units, not the values in them."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Clusters = Sequence[Hashable] | NDArray[np.generic] | None


def numbered(clusters: Clusters, n: int) -> NDArray[np.int64]:
    """Which unit each of `n` values belongs to, as 0, 1, ... in order of appearance; each its own without clusters."""
    if clusters is None:
        return np.arange(n)
    if len(clusters) != n:
        raise ValueError(f"{len(clusters)} clusters are given for {n} values: there must be one for each")
    places: dict[Hashable, int] = {}
    return np.array([places.setdefault(name, len(places)) for name in clusters], dtype=np.int64)


def finite(values: Sequence[float] | Floats, clusters: Clusters) -> tuple[Floats, NDArray[np.int64], int]:
    """The finite values, the unit of each, and how many values were not finite."""
    given = np.asarray(values, dtype=np.float64)
    if given.ndim != 1:
        raise ValueError(f"values must be a single row of numbers, not of shape {list(given.shape)}")
    unit, known = numbered(clusters, len(given)), np.isfinite(given)
    _, kept = np.unique(unit[known], return_inverse=True)
    return given[known], kept, int((~known).sum())


def missing(count: int) -> str:
    """The sentence for values that could not be used."""
    return f"{count} of the values {'is' if count == 1 else 'are'} not a finite number and left out"
