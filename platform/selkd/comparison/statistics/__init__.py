"""What can be said of numbers that differ, and what cannot: pure numpy and scipy, knows nothing of studies."""

from selkd.comparison.statistics.agreement import Agreement, Estimate, agreement
from selkd.comparison.statistics.intervals import Interval, interval
from selkd.comparison.statistics.many import Friedman, critical_difference, friedman, groups, holm, nemenyi
from selkd.comparison.statistics.optimism import Optimism, optimism
from selkd.comparison.statistics.paired import Paired, paired, smallest_p
from selkd.comparison.statistics.power import Needed, detectable, needed, units_needed
from selkd.comparison.statistics.sequential import Decision, LookPlan, boundaries, crossing, decide

__all__ = [
    "Agreement",
    "Decision",
    "Estimate",
    "Friedman",
    "Interval",
    "LookPlan",
    "Needed",
    "Optimism",
    "Paired",
    "agreement",
    "boundaries",
    "critical_difference",
    "crossing",
    "decide",
    "detectable",
    "friedman",
    "groups",
    "holm",
    "interval",
    "needed",
    "nemenyi",
    "optimism",
    "paired",
    "smallest_p",
    "units_needed",
]
