"""What paired differences say: how large, how often, and whether luck explains them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import special, stats

from selkd.comparison.statistics.clusters import Clusters, Floats, finite, missing
from selkd.comparison.statistics.signflips import EXACT, ROUNDING, flip_signs


@dataclass(frozen=True)
class Paired:
    """Two-sided tests and effect sizes of paired differences. What is nan has its reason under its name in `reasons`.

    With clusters, the units are the clusters: the permutation test flips their sums, and Wilcoxon's test and the
    effect sizes are of their means. Mean, median, wins, ties and losses are always of the pairs.
    """

    n: int  # pairs with both values
    units: int  # clusters, or pairs without clusters
    missing: int  # pairs left out because a value is not finite
    mean: float
    median: float
    wins: int
    ties: int
    losses: int
    permutation_p: float
    exact: bool  # every sign flip was counted
    wilcoxon_p: float
    smallest_p: float  # no data of so many units could give less
    dz: float
    hedges_g: float  # dz without its bias at small n
    rank_biserial: float
    reasons: Mapping[str, str] = field(default_factory=dict)


def smallest_p(units: int) -> float:
    """The smallest two-sided p-value of `units` sign flips, 2 / 2^n: 0.0625 at 5. It is 1 without units."""
    return min(1.0, 2.0 ** (1 - units))


def paired(differences: Sequence[float] | Floats, clusters: Clusters = None, *, seed: int = 0) -> Paired:
    """Judge differences, one a pair; a positive one is a win.

    Wilcoxon's zeros are ranked, then dropped (Pratt 1959). Its p-value comes from the sign flips of the ranks, so that
    ties and zeros leave it exact, and from scipy where there are too many to count and no tie.
    """
    given, unit, lost = finite(differences, clusters)
    reasons = {"missing": missing(lost)} if lost else {}
    n = len(given)
    if not n:
        why = "there is no pair with two finite values"
        nothing = dict.fromkeys(("mean", "median", "permutation_p", "wilcoxon_p"), math.nan)
        effects = dict.fromkeys(("dz", "hedges_g", "rank_biserial"), math.nan)
        return Paired(
            n=0, units=0, missing=lost, wins=0, ties=0, losses=0, exact=True, smallest_p=1.0, **nothing, **effects,
            reasons=reasons | dict.fromkeys([*nothing, *effects], why),
        )  # fmt: skip
    largest = float(np.abs(given).max())
    values = _settled(given, largest)
    sums = _settled(np.bincount(unit, values).astype(np.float64), largest)
    means = sums / np.bincount(unit)
    flips = flip_signs(sums, seed=seed)
    ranked, why = _signed_ranks(means)
    reasons |= {name: why for name in ("wilcoxon_p", "rank_biserial") if why}
    dz, why = _dz(means)
    reasons |= {name: why for name in ("dz", "hedges_g") if why}
    corrected = dz * _hedges(len(means)) if len(means) > 2 else math.nan
    if len(means) == 2 and not why:
        reasons["hedges_g"] = "the correction needs at least 3 units"
    return Paired(
        n=n,
        units=len(means),
        missing=lost,
        mean=float(given.mean()),
        median=float(np.median(given)),
        wins=int((values > 0).sum()),
        ties=int((values == 0).sum()),
        losses=int((values < 0).sum()),
        permutation_p=flips.p,
        exact=flips.exact,
        wilcoxon_p=_wilcoxon(means, ranked, seed),
        smallest_p=smallest_p(len(means)),
        dz=dz,
        hedges_g=corrected,
        rank_biserial=float(ranked.sum() / np.abs(ranked).sum()) if ranked.any() else math.nan,
        reasons=reasons,
    )


def _settled(values: Floats, largest: float) -> Floats:
    """Values with what rounding left of a zero taken off: 0.1 + 0.2 - 0.3 is a tie."""
    return np.where(np.abs(values) < ROUNDING * largest, 0.0, values)


def _signed_ranks(means: Floats) -> tuple[Floats, str]:
    """Ranks of the absolute values with their signs, zeros ranked and then dropped (Pratt 1959).

    0.93 - 0.92 and 0.92 - 0.91 differ in their last bits and share a rank.
    """
    sizes = np.abs(means)
    if not sizes.any():
        return sizes, "all differences are zero"
    return stats.rankdata(np.round(sizes / sizes.max() / ROUNDING)) * np.sign(means), ""


def _wilcoxon(means: Floats, ranked: Floats, seed: int) -> float:
    if not ranked.any():
        return math.nan
    sizes = np.abs(ranked)
    if len(ranked) > EXACT and sizes.all() and len(np.unique(sizes)) == len(sizes):
        found: Any = stats.wilcoxon(means)
        return float(found.pvalue)
    return flip_signs(ranked, seed=seed).p


def _dz(means: Floats) -> tuple[float, str]:
    """Cohen's dz: the mean difference in standard deviations of the differences (Cohen 1988, section 2.3.5)."""
    if len(means) < 2:
        return math.nan, "one unit has no deviation"
    if np.ptp(means) <= ROUNDING * np.abs(means).max():
        return math.nan, f"all differences are {'zero' if not means[0] else 'equal'}: they have no deviation"
    return float(means.mean() / means.std(ddof=1)), ""


def _hedges(n: int) -> float:
    """The factor that takes the bias out of dz (Hedges 1981): G(m / 2) / (sqrt(m / 2) G((m - 1) / 2)), m = n - 1."""
    m = n - 1
    return float(math.exp(special.gammaln(m / 2) - special.gammaln((m - 1) / 2)) / math.sqrt(m / 2))
