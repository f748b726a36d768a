"""When a student is stopped early: rules over validation values reported at comparable shares of the training.

A rule is a pure function of the reports, which the ledger keeps: a resumed study stops whom it would have stopped.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from selkd.sweeps.settings import Asha, HyperBand, Median, Stopping

STRIDE = 0.1
"""Share of the training between two looks of the median rule."""


@dataclass(frozen=True)
class Report:
    """What a student reached when it had done a share of its training; larger is better."""

    key: str
    share: float  # the milestone, not the exact moment: equal for all that are compared
    value: float


def milestones(rule: Stopping, ordinal: int) -> list[float]:
    """Shares of its training at which the study's student number `ordinal` reports."""
    match rule:
        case Asha():
            return _rungs(rule.first, rule.factor)
        case HyperBand():
            return _rungs(rule.first * rule.factor ** (ordinal % rule.brackets), rule.factor)
        case Median():
            count = math.ceil((1 - rule.first) / STRIDE - 1e-9)
            return [round(rule.first + STRIDE * k, 9) for k in range(count)]


def verdict(rule: Stopping, reports: Sequence[Report], last: Report) -> str | None:
    """Why the student of the `last` report is stopped, or nothing. `reports` are those of its bracket before it."""
    if math.isnan(last.value):
        return f"not a number at {last.share:.0%} of the training"
    if isinstance(rule, Median):
        return _below_median(rule, reports, last)
    rung = [r.value for r in reports if r.key != last.key and r.share == last.share]
    better = sum(value > last.value for value in rung if not math.isnan(value))
    promoted = max(1, (len(rung) + 1) // rule.factor)
    if better < promoted:
        return None
    return f"{better + 1}. of {len(rung) + 1} at {last.share:.0%} of the training; the best {promoted} went on"


def _rungs(first: float, factor: int) -> list[float]:
    rungs = []
    while first < 1 - 1e-9:
        rungs.append(round(first, 9))
        first *= factor
    return rungs


def _below_median(rule: Median, reports: Sequence[Report], last: Report) -> str | None:
    """Golovin et al. 2017: its best so far against the median of the others' means up to here."""
    means = []
    for key in {r.key for r in reports} - {last.key}:
        reached = [r for r in reports if r.key == key and not math.isnan(r.value)]
        if any(r.share >= last.share for r in reached):
            means.append(statistics.mean(r.value for r in reached if r.share <= last.share))
    best = max([last.value, *(r.value for r in reports if r.key == last.key)])
    if len(means) < rule.students or best >= (middle := statistics.median(means)):
        return None
    return f"{best:.4g} at {last.share:.0%} of the training, below the median {middle:.4g} of {len(means)}"
