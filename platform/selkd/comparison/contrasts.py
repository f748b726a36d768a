"""Every contrast that a question asks: pairs of levels, over all groups and within each."""

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from selkd.comparison.pairing import cluster_names
from selkd.comparison.question import POWER, Question
from selkd.comparison.result import ALL, Contrast, Metric, Overall
from selkd.comparison.statistics import critical_difference, friedman, groups, holm, interval, needed, paired
from selkd.comparison.tables import Column, Frame
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


class Contrasts:
    """Compares levels over the pairs of a table, and keeps what all contrasts need."""

    def __init__(
        self, question: Question, metric: Metric, units: Frame, subsets: Frame, sources: Column,
        kind: str | None, matters: float | None,
    ) -> None:  # fmt: skip
        self.question, self.metric, self.units, self.subsets = question, metric, units, subsets
        self.sources, self.kind, self.matters = sources, kind, matters
        self.sign = 1.0 if metric.maximise else -1.0

    def differences(self, level: str, against: str, group: str) -> tuple[Column, Column]:
        """The differences of the pairs that both levels have, and the cluster of each."""
        rows = self.units if group == ALL else self.units[self.units.index.get_level_values("group") == group]
        found = (rows[level] - rows[against]).dropna()
        names = cluster_names(self.kind, self.subsets.loc[found.index], self.sources, (level, against))
        return found, names

    def family(self, pairs: Sequence[tuple[str, str]], groups_: Sequence[str]) -> list[Contrast]:
        """These pairs within these groups, with p-values corrected over all of them (Holm 1979)."""
        members = [(group, level, against) for group in groups_ for level, against in pairs]
        found = [self._contrast(*member, len(members)) for member in members]
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
        differences, clusters = self.differences(level, against, group)
        values, names = differences.to_numpy(dtype=float), clusters.tolist()
        test = paired(self.sign * values, names)
        around = interval(values, names, level=1 - self.question.alpha)
        notes = {*test.reasons.values(), *([around.reason] if around.reason and len(values) else [])}
        detectable, more = math.nan, None
        if len(values):
            plan = needed(
                values, self.matters or float(np.abs(values).mean()) or 1.0, names,
                power=POWER, alpha=self.question.alpha / family,
            )  # fmt: skip
            detectable, more = plan.detectable, plan.more if self.matters else None
        return Contrast(
            group=group,
            level=level,
            against=against,
            pairs=test.n,
            clusters=test.units,
            difference=self.sign * test.mean,
            median=self.sign * test.median,
            low=around.low,
            high=around.high,
            p=_known(test.permutation_p),
            wilcoxon=_known(test.wilcoxon_p),
            smallest=test.smallest_p if test.n else None,
            adjusted=None,
            wins=test.wins,
            ties=test.ties,
            losses=test.losses,
            dz=_known(self.sign * test.hedges_g),
            rank_biserial=_known(self.sign * test.rank_biserial),
            detectable=_known(detectable),
            more=more,
            better=None,
            notes=tuple(sorted(notes)),
        )

    def overall(self, levels: Sequence[str]) -> Overall | None:
        """All levels at once, over blocks in which each has a value; dependent pairs are averaged to one block."""
        if len(levels) < 3:
            return None
        whole = self.units[list(levels)].dropna()
        if whole.empty:
            return Overall(0, None, None, {}, None, [], "no pair has a value of every level")
        names = cluster_names(self.kind, self.subsets.loc[whole.index], self.sources, levels)
        blocks = whole.groupby(names).mean()
        test = friedman(blocks.to_numpy(dtype=float), higher_is_better=self.metric.maximise)
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


def _known(value: float) -> float | None:
    return None if math.isnan(value) or math.isinf(value) else float(value)
