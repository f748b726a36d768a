"""Proposals of category subsets that learn from those told: Bayesian optimisation with exact constraints.

The first subsets are random and use every category equally often. The next ones maximise the expected improvement under
the model, by exchanging, adding and dropping one category at a time from the best subsets and from random ones.
"""

import math
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from selkd.sweeps.subset_model import fit
from selkd.sweeps.subset_search import Search
from selkd.sweeps.subset_space import Feasible, Subset, SubsetSpace

__all__ = ["Feasible", "Subset", "SubsetSpace", "propose"]

STARTUP = 10
FEW = 1000  # so many subsets are compared one by one
BEST_STARTS, RANDOM_STARTS = 2, 1
TRIES = 10


def propose(
    feasible: Feasible,
    told: Sequence[tuple[Subset, float | None]],
    pending: Sequence[Subset] = (),
    *,
    number: int,
    seed: int,
    startup: int = STARTUP,
) -> Subset:
    """The feasible subset to try next, in the data set's order; larger values are better.

    A pure function of its arguments: `seed` and `number` make the random stream, and the order of `told` and `pending`
    has no effect. Subsets told without a value (failed or pruned), or with one that is not finite, are not proposed
    again and say nothing of others. Infeasible ones are ignored. Once every subset was told or is pending, the best by
    the mean of its values is proposed again.
    """
    rng = np.random.default_rng([seed, number])
    values = _values(feasible, told)
    waiting = sorted({feasible.ordered(s) for s in pending if feasible.contains(s)}, key=feasible.ids)
    seen = {*values, *waiting}
    means = {subset: math.fsum(known) / len(known) for subset, known in values.items() if known}
    if len(seen) >= feasible.count():
        return max(means, key=means.__getitem__) if means else feasible.random(rng)
    if len(means) < max(startup, 1):
        return _balanced(feasible, seen, rng)

    search = Search(feasible, seen)
    sizes = feasible.smallest, feasible.largest
    repeats = np.array([len(values[subset]) for subset in means])
    posterior = fit(search.points(means), np.array([*means.values()]), repeats, sizes).believing(search.points(waiting))
    best = float(posterior.at(posterior.points)[0].max())
    if feasible.count() <= FEW:
        untried = [subset for subset in feasible if subset not in seen]
        return search.best(posterior, best, [untried[i] for i in rng.permutation(len(untried))])
    leading = sorted(means, key=lambda subset: -means[subset])[:BEST_STARTS]
    starts = [*leading, *(_untried(feasible, seen, rng) for _ in range(RANDOM_STARTS))]
    return search.climb(posterior, best, starts, rng)


def _values(feasible: Feasible, told: Sequence[tuple[Subset, float | None]]) -> dict[Subset, list[float]]:
    """The finite values of every feasible subset that was told, in the data set's order, whatever the names."""
    values: dict[Subset, list[float]] = {}
    for subset, value in told:
        if feasible.contains(subset):
            known = values.setdefault(feasible.ordered(subset), [])
            if value is not None and math.isfinite(value):
                known.append(value)
    return {subset: values[subset] for subset in sorted(values, key=feasible.ids)}


def _balanced(feasible: Feasible, seen: Collection[Subset], rng: np.random.Generator) -> Subset:
    """A random unseen subset of the categories that were used least."""
    used = Counter(name for subset in seen for name in subset)
    free = [(i, number) for number, group in enumerate(feasible.groups) for i in group]
    for _ in range(TRIES):
        chosen: dict[int, int] = {}
        for i, group in sorted(rng.permutation(free).tolist(), key=lambda one: used[feasible.categories[one[0]]]):
            chosen.setdefault(group, i)
        size = rng.integers(feasible.smallest, feasible.largest + 1)
        subset = feasible.named([*feasible.must, *list(chosen.values())[:size]])
        if subset not in seen:
            return subset
    return _untried(feasible, seen, rng)


def _untried(feasible: Feasible, seen: Collection[Subset], rng: np.random.Generator) -> Subset:
    """An unseen subset, uniformly."""
    if feasible.count() <= FEW:
        untried = [subset for subset in feasible if subset not in seen]
        return untried[rng.integers(len(untried))]
    while (subset := feasible.random(rng)) in seen:
        pass
    return subset
