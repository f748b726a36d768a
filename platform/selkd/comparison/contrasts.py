"""Every contrast that a question asks: pairs of levels, over all groups and within each."""

import math
from collections.abc import Collection, Hashable, Sequence
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np

from selkd.comparison.overall import Overall
from selkd.comparison.pairs import Pairs
from selkd.comparison.question import POWER, Question
from selkd.comparison.result import Contrast, Metric
from selkd.comparison.statistics import (
    critical_difference,
    detectable,
    friedman,
    groups,
    holm,
    interval,
    paired,
    units_needed,
)  # fmt: skip
from selkd.comparison.statistics.clusters import numbered
from selkd.errors import UserError

MOST_LEVELS = 40
MOST_WITHIN = 400
"""Contrasts within groups beyond which only those over all groups are made."""


def pairs_of(question: Question, order: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of levels to compare, `order` being the best first."""
    if question.baseline is not None:
        return [(level, question.baseline) for level in order if level != question.baseline]
    return list(combinations(order, 2))


def refuse_many(by: str, levels: Sequence[str]) -> None:
    """Levels are compared two by two, which says nothing of hundreds."""
    if len(levels) > MOST_LEVELS:
        raise UserError(
            f"by: {by} has {len(levels)} values, and at most {MOST_LEVELS} levels are compared. Ask about a key with "
            "few values; the best value of this one is found by `selkd study NAME`."
        )


class Differences(NamedTuple):
    """Differences of pairs, and the cluster of each."""

    values: np.ndarray
    clusters: list[Hashable]


class Contrasts:
    """Compares levels over pairs, and keeps what all contrasts need."""

    def __init__(self, question: Question, metric: Metric, pairs: Pairs, matters: float | None) -> None:
        self.question, self.metric, self.pairs, self.matters = question, metric, pairs, matters
        self.sign = 1.0 if metric.maximise else -1.0

    def differences(self, level: str, against: str, group: str, seeds: Collection[str] | None = None) -> Differences:
        """The differences of the pairs that both levels have, and the cluster of each; of these seeds alone."""
        rows = self.pairs.rows((level, against), group)
        if seeds is not None:
            rows = rows[np.isin(self.pairs.seeds[rows], list(seeds))]
        values = self.pairs.values(level, rows) - self.pairs.values(against, rows)
        return Differences(values, self.pairs.clusters((level, against), rows))

    def family(self, pairs: Sequence[tuple[str, str]], groups_: Sequence[str]) -> list[Contrast]:
        """These pairs within these groups, with p-values corrected over all of them (Holm 1979)."""
        members = [(group, level, against) for group in groups_ for level, against in pairs]
        size = sum(len(self.pairs.rows((level, against), group)) > 0 for group, level, against in members)
        found = [self._contrast(*member, max(size, 1)) for member in members]
        adjusted = holm([math.nan if one.p is None else one.p for one in found])
        return [self._judged(one, _known(p)) for one, p in zip(found, adjusted, strict=True)]

    def _judged(self, one: Contrast, adjusted: float | None) -> Contrast:
        told = adjusted is not None and adjusted <= self.question.alpha
        return one.judged(adjusted, self.leader(one) if told else None)

    def leader(self, one: Contrast) -> str | None:
        """The level that is better on the mean of the pairs."""
        if not one.pairs or not one.difference:
            return None
        return one.level if self.sign * one.difference > 0 else one.against

    def _contrast(self, group: str, level: str, against: str, family: int) -> Contrast:
        values, clusters = self.differences(level, against, group)
        test = paired(self.sign * values, clusters)
        around = interval(values, clusters, level=1 - self.question.alpha)
        notes = {*test.reasons.values(), *([around.reason] if around.reason and len(values) else [])}
        told, more = self._power(values, clusters, self.question.alpha / family)
        floor, ceiling = self.metric.bounds
        return Contrast(
            group=group,
            level=level,
            against=against,
            pairs=test.n,
            clusters=test.units,
            difference=self.sign * test.mean,
            median=self.sign * test.median,
            low=max(around.low, floor - ceiling),
            high=min(around.high, ceiling - floor),
            p=_known(test.permutation_p),
            wilcoxon=_known(test.wilcoxon_p),
            smallest=test.smallest_p if test.n else None,
            adjusted=None,
            wins=test.wins,
            ties=test.ties,
            losses=test.losses,
            dz=_known(self.sign * test.hedges_g),
            rank_biserial=_known(self.sign * test.rank_biserial),
            detectable=told,
            more=more,
            better=None,
            notes=tuple(sorted(notes)),
        )

    def _power(self, values: np.ndarray, clusters: list[Hashable], alpha: float) -> tuple[float | None, int | None]:
        """The difference that so many units would tell, and the units that are wanting to tell what matters."""
        means = _means(values, clusters)
        deviation = float(np.std(means, ddof=1)) if len(means) > 1 else 0.0
        if deviation < 1e-12:
            return None, None
        told = _known(deviation * _detectable(len(means), alpha))
        if self.matters is None:
            return told, None
        units = units_needed(self.matters, deviation, power=POWER, alpha=alpha)
        return told, None if units is None else max(0, units - len(means))

    def overall(self, levels: Sequence[str]) -> Overall | None:
        """All levels at once, over blocks in which each has a value; dependent pairs are averaged to one block."""
        if len(levels) < 3:
            return None
        rows = self.pairs.rows(levels)
        if not len(rows):
            return Overall(0, None, None, {}, None, [], "no pair has a value of every level")
        clusters = self.pairs.clusters(levels, rows)
        blocks = np.stack([_means(self.pairs.values(level, rows), clusters) for level in levels], axis=1)
        test = friedman(blocks, higher_is_better=self.metric.maximise)
        critical = critical_difference(len(levels), test.n, self.question.alpha) if test.n > 1 else None
        alike = groups(test.mean_ranks, critical) if critical is not None else []
        return Overall(
            blocks=test.n,
            friedman=_known(test.chi2_p),
            iman_davenport=_known(test.f_p),
            ranks=dict(sorted(zip(levels, test.mean_ranks, strict=True), key=lambda pair: pair[1])),
            critical=critical,
            alike=[tuple(levels[k] for k in group) for group in alike],
            note="; ".join(dict.fromkeys(test.reasons.values())) or None,
        )


def _means(values: np.ndarray, clusters: Sequence[Hashable]) -> np.ndarray:
    """The mean of each cluster."""
    unit = numbered(clusters, len(values))
    return np.bincount(unit, values) / np.bincount(unit)


@lru_cache
def _detectable(units: int, alpha: float) -> float:
    """The difference that so many units tell, in deviations."""
    return detectable(units, 1.0, power=POWER, alpha=alpha)


def _known(value: float) -> float | None:
    return None if math.isnan(value) or math.isinf(value) else float(value)
