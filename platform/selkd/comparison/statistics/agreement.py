"""How well a score that was known before foretells what came after, and what trusting it costs.

Shapes: S seeds, T teachers, R resamples. A resample counts how often each seed v [R, S] and each teacher w [R, T] was
drawn; ties among copies of one teacher are ties. Weights of one give the statistics of `scipy.stats`.
"""

from dataclasses import dataclass

import numpy as np

from selkd.comparison.statistics.clusters import Floats

RESAMPLES = 2_000


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; nan where a score tells no teachers apart."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Agreement:
    """Rank correlations of a score with the outcome, and what its first choice falls short of the best one."""

    kendall: Estimate
    spearman: Estimate
    regret: Estimate


def agreement(
    scores: Floats, outcomes: Floats, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Agreement:
    """Of scores [S, T], the higher the better, each seed's with the teachers' mean outcomes over seeds, of [S, T].

    Values are means over seeds. Intervals are percentiles over resamples of teachers and seeds, each drawn by itself.
    """
    if scores.shape != outcomes.shape or scores.ndim != 2 or min(scores.shape) < 1 or scores.shape[1] < 2:
        raise ValueError(f"scores {scores.shape} and outcomes {outcomes.shape} must be seeds by two teachers or more")
    if not (np.isfinite(scores).all() and np.isfinite(outcomes).all()):
        raise ValueError("scores and outcomes must be finite")
    seeds, teachers = scores.shape
    rng = np.random.default_rng(seed)
    v = rng.multinomial(seeds, [1 / seeds] * seeds, resamples).astype(float)
    w = rng.multinomial(teachers, [1 / teachers] * teachers, resamples).astype(float)
    drawn = _statistics(scores, outcomes, v, w)
    values = _statistics(scores, outcomes, np.ones((1, seeds)), np.ones((1, teachers)))
    tail = (1 - level) / 2
    found = []
    for value, several in zip(values, drawn, strict=True):
        known = several[np.isfinite(several)]
        low, high = np.quantile(known, (tail, 1 - tail)) if len(known) else (np.nan, np.nan)
        found.append(Estimate(float(value[0]), float(low), float(high)))
    return Agreement(*found)


def _statistics(scores: Floats, outcomes: Floats, v: Floats, w: Floats) -> tuple[Floats, Floats, Floats]:
    """Kendall's tau-b, Spearman's rho and the regret [R] of each resample, means over its seeds."""
    v = v / v.sum(1, keepdims=True)
    y = v @ outcomes  # [R, T]
    before, after = _signs(scores), _signs(y)  # [S, T, T], [R, T, T]
    both = w[:, :, None] * w[:, None, :]
    tau = _cosine(both * after, both * after**2, both, before)
    rank_before = np.einsum("stu,ru->rst", before, w)  # twice the distance from the middle rank
    rank_after = np.einsum("rtu,ru->rt", after, w)
    rho = np.einsum("rt,rst,rt->rs", w, rank_before, rank_after) / _root(
        np.einsum("rt,rst->rs", w, rank_before**2) * np.einsum("rt,rt->r", w, rank_after**2)[:, None]
    )
    there = w[:, None, :] > 0  # [R, 1, T]
    best = np.where(there[:, 0], y, -np.inf).max(1)
    known = np.where(there, scores, -np.inf)  # [R, S, T]
    first = np.where(known == known.max(2, keepdims=True), w[:, None, :], 0.0)
    regret = best[:, None] - np.einsum("rst,rt->rs", first, y) / first.sum(2)
    return _mean(tau, v), _mean(rho, v), _mean(regret, v)


def _signs(x: Floats) -> Floats:
    return np.sign(x[:, :, None] - x[:, None, :])


def _cosine(product: Floats, square: Floats, both: Floats, before: Floats) -> Floats:
    """Kendall's tau-b [R, S]: the cosine of the signs of all pairs before [S, T, T] and after [R, T, T]."""
    pairs, flat = before.reshape(len(before), -1), product.reshape(len(product), -1)
    size = both.reshape(len(both), -1) @ (pairs**2).T
    return flat @ pairs.T / _root(size * square.sum((1, 2))[:, None])


def _root(x: Floats) -> Floats:
    return np.where(x > 0, np.sqrt(x), np.nan)


def _mean(x: Floats, v: Floats) -> Floats:
    """The mean over the seeds that were drawn; nan where one of them has no value."""
    return np.where(v > 0, v * x, 0.0).sum(1)
