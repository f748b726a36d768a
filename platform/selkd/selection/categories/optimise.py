"""The best allowed subset by a sum over its categories, over its pairs, or by distance."""

from collections.abc import Sequence

import numpy as np

from selkd.selection.subsets import Feasible

FEW = 5000
"""So many subsets are compared one by one."""
STARTS = 64
IMPROVED = 1e-12


def highest(feasible: Feasible, scores: np.ndarray) -> list[int]:
    """The subset of largest total of `scores` [K]: the best of every group, and of those the best; ties in order."""
    best = [max(group, key=lambda i: scores[i]) for group in feasible.groups]
    return [*feasible.must, *sorted(best, key=lambda i: -scores[i])[: feasible.largest]]


def densest(feasible: Feasible, gain: np.ndarray) -> list[int]:
    """The subset S of largest sum of gain[a, b] over a, b in S; `gain` [K, K] is symmetric.

    Exact where few subsets are allowed. Otherwise greedy from several beginnings, then exchanges of one category while
    one improves: the problem is NP-hard (densest k-subgraph).
    """
    if feasible.count() <= FEW:
        return list(max(feasible.each(), key=lambda subset: total(gain, subset)))
    found = [_exchanged(feasible, gain, _greedy(feasible, gain, start)) for start in _starts(feasible, gain)]
    return max(found, key=lambda chosen: total(gain, chosen))


def farthest(feasible: Feasible, distance: np.ndarray) -> list[int]:
    """Farthest-first traversal (Gonzalez 1985): each next category is the one farthest from those chosen.

    It begins with what must be chosen, or with the category whose largest distance is smallest. Without constraints,
    no category is farther from the chosen ones than twice what the best subset allows.
    """
    group_of, free = _groups(feasible, len(distance))
    chosen = list(feasible.must)
    while len(chosen) < len(feasible.must) + feasible.largest:
        pool = _open(group_of, free, chosen)
        far = distance[pool][:, chosen].min(1) if chosen else -distance[pool][:, free].max(1)
        chosen.append(int(pool[far.argmax()]))
    return chosen


def total(gain: np.ndarray, chosen: Sequence[int]) -> float:
    """Sum of gain[a, b] over a, b in the subset."""
    inside = np.sort(np.array(chosen, dtype=np.intp))
    return float(gain[np.ix_(inside, inside)].sum())


def added(gain: np.ndarray, chosen: Sequence[int]) -> np.ndarray:
    """What each category adds to the rest of the subset [K]."""
    own = gain.diagonal()
    inside = np.isin(np.arange(len(gain)), chosen)
    return own + 2 * (gain[:, list(chosen)].sum(1) - np.where(inside, own, 0.0))


def _starts(feasible: Feasible, gain: np.ndarray) -> list[tuple[int, ...]]:
    """Beginnings: nothing, and the pairs of different groups that are worth most."""
    if feasible.largest < 2:
        return [()]
    group_of, free = _groups(feasible, len(gain))
    own = added(gain, feasible.must)[free]
    worth = own[:, None] + own[None] + 2 * gain[np.ix_(free, free)]
    worth[np.tril_indices(len(free))] = -np.inf
    worth[group_of[free][:, None] == group_of[free][None]] = -np.inf
    best = np.argsort(-worth, axis=None, kind="stable")[:STARTS]
    pairs = free[np.stack(np.unravel_index(best, worth.shape), 1)]
    return [(), *(tuple(pair) for pair in pairs.tolist() if group_of[pair[0]] != group_of[pair[1]])]


def _greedy(feasible: Feasible, gain: np.ndarray, start: Sequence[int]) -> list[int]:
    group_of, free = _groups(feasible, len(gain))
    chosen = [*feasible.must, *start]
    while len(chosen) < len(feasible.must) + feasible.largest:
        pool = _open(group_of, free, chosen)
        chosen.append(int(pool[added(gain, chosen)[pool].argmax()]))
    return chosen


def _exchanged(feasible: Feasible, gain: np.ndarray, chosen: list[int]) -> list[int]:
    """The subset after the best exchange of one category, again and again, while one improves."""
    group_of, free = _groups(feasible, len(gain))
    while True:
        leaving = np.array([i for i in chosen if i not in feasible.must], dtype=int)
        entering = free[~np.isin(free, chosen)]
        if not len(leaving) or not len(entering):
            return chosen
        adds = added(gain, chosen)
        better = adds[entering][None] - adds[leaving][:, None] - 2 * gain[np.ix_(leaving, entering)]
        taken = np.isin(group_of[entering], group_of[leaving])[None]
        better[taken & (group_of[entering][None] != group_of[leaving][:, None])] = -np.inf
        best = np.unravel_index(better.argmax(), better.shape)
        if better[best] <= IMPROVED:
            return chosen
        chosen = [int(entering[best[1]]) if i == leaving[best[0]] else i for i in chosen]


def _groups(feasible: Feasible, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The group of every category [K], -1 for none, and the categories that have one."""
    group_of = np.full(count, -1)
    for number, group in enumerate(feasible.groups):
        group_of[list(group)] = number
    return group_of, np.flatnonzero(group_of >= 0)


def _open(group_of: np.ndarray, free: np.ndarray, chosen: Sequence[int]) -> np.ndarray:
    """The categories of groups that have given none."""
    return free[~np.isin(group_of[free], group_of[list(chosen)])]
