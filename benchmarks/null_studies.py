"""Studies in which nothing differs: how often each statistic says that something does. Goal: at most at its level.

Scores of two levels are drawn from one distribution, so any rejection is an error. `ties` are accuracies of 50 rows,
`outliers` are Cauchy. The last rows show what the corrections are for: they may reject more often.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from selkd.comparison.statistics import (
    LookPlan,
    critical_difference,
    decide,
    friedman,
    holm,
    paired,
)

ALPHA, SIMULATIONS = 0.05, 5_000
Draw = Callable[..., NDArray[np.float64]]
Study = Callable[[np.random.Generator], bool]


def normal(rng: np.random.Generator, *shape: int) -> NDArray[np.float64]:
    return rng.normal(size=shape)


def skewed(rng: np.random.Generator, *shape: int) -> NDArray[np.float64]:
    return rng.exponential(size=shape)


def ties(rng: np.random.Generator, *shape: int) -> NDArray[np.float64]:
    return rng.binomial(50, 0.9, size=shape) / 50


def outliers(rng: np.random.Generator, *shape: int) -> NDArray[np.float64]:
    return rng.standard_cauchy(size=shape)


def permutation(rng: np.random.Generator, n: int, draw: Draw = normal) -> bool:
    return paired(_differences(rng, n, draw)).permutation_p <= ALPHA


def wilcoxon(rng: np.random.Generator, n: int, draw: Draw = normal) -> bool:
    return paired(_differences(rng, n, draw)).wilcoxon_p <= ALPHA


def clustered(rng: np.random.Generator, test: str, *, told: bool = True) -> bool:
    """Ten clusters of one to six pairs; what a cluster shares is three times as large as what each pair adds."""
    owner = np.repeat(np.arange(10), rng.integers(1, 7, 10))
    shared = rng.normal(scale=3.0, size=10)
    found = paired(shared[owner] + _differences(rng, len(owner), normal), owner if told else None)
    return getattr(found, test) <= ALPHA


def holm_family(rng: np.random.Generator, n: int, draw: Draw = normal, *, corrected: bool = True) -> bool:
    """All six pairs of four levels: one rejection is an error of the family."""
    scores = draw(rng, n, 4)
    p = [paired(scores[:, i] - scores[:, j]).permutation_p for i in range(4) for j in range(i)]
    return bool((np.asarray(holm(p) if corrected else p) <= ALPHA).any())


def friedman_chi2(rng: np.random.Generator, n: int, k: int, draw: Draw = normal) -> bool:
    return friedman(draw(rng, n, k)).chi2_p <= ALPHA


def friedman_f(rng: np.random.Generator, n: int, k: int, draw: Draw = normal) -> bool:
    return friedman(draw(rng, n, k)).f_p <= ALPHA


def nemenyi_pairs(rng: np.random.Generator, n: int, k: int, draw: Draw = normal) -> bool:
    """Any pair beyond the critical difference, whatever Friedman's test says."""
    ranks = friedman(draw(rng, n, k)).mean_ranks
    return bool(np.ptp(ranks) > critical_difference(k, n, ALPHA))


def extended(rng: np.random.Generator, plan: LookPlan, draw: Draw = normal) -> bool:
    """Look; without a rejection run the units of the next look, and look again."""
    differences = _differences(rng, plan.looks[-1], draw)
    p: list[float] = []
    for look in plan.looks:
        p.append(paired(differences[:look]).permutation_p)
        decision = decide(plan, plan.looks[: len(p)], p)
        if decision.next is None:
            return decision.rejected
    raise AssertionError("the last look has no next one")


def uncorrected(rng: np.random.Generator, looks: Sequence[int]) -> bool:
    differences = _differences(rng, looks[-1], normal)
    return any(paired(differences[:look]).permutation_p <= ALPHA for look in looks)


HELD: dict[str, Study] = {
    "permutation, 5 pairs": partial(permutation, n=5),
    "permutation, 6 pairs": partial(permutation, n=6),
    "permutation, 10 pairs": partial(permutation, n=10),
    "permutation, 10 pairs, skewed": partial(permutation, n=10, draw=skewed),
    "permutation, 10 pairs, ties": partial(permutation, n=10, draw=ties),
    "permutation, 10 pairs, outliers": partial(permutation, n=10, draw=outliers),
    "permutation, 10 clusters": partial(clustered, test="permutation_p"),
    "Wilcoxon, 6 pairs": partial(wilcoxon, n=6),
    "Wilcoxon, 10 pairs": partial(wilcoxon, n=10),
    "Wilcoxon, 16 pairs, ties": partial(wilcoxon, n=16, draw=ties),
    "Wilcoxon, 30 pairs": partial(wilcoxon, n=30),
    "Wilcoxon, 10 clusters": partial(clustered, test="wilcoxon_p"),
    "Holm, 4 levels, 10 units": partial(holm_family, n=10),
    "Holm, 4 levels, 10 units, ties": partial(holm_family, n=10, draw=ties),
    "Friedman, 3 levels, 5 units": partial(friedman_chi2, n=5, k=3),
    "Friedman, 5 levels, 10 units": partial(friedman_chi2, n=10, k=5),
    "Nemenyi, 3 levels, 5 units": partial(nemenyi_pairs, n=5, k=3),
    "Nemenyi, 5 levels, 10 units": partial(nemenyi_pairs, n=10, k=5),
    "Nemenyi, 5 levels, 10 units, ties": partial(nemenyi_pairs, n=10, k=5, draw=ties),
    "extend at 8, 16, O'Brien-Fleming": partial(extended, plan=LookPlan((8, 16))),
    "extend at 6, 10, 16, Pocock": partial(extended, plan=LookPlan((6, 10, 16), spending="pocock")),
    "extend at 8, 11, 16, Pocock, ties": partial(extended, plan=LookPlan((8, 11, 16), spending="pocock"), draw=ties),
    "extend at 8, 12, 16, Pocock, outliers": partial(
        extended, plan=LookPlan((8, 12, 16), spending="pocock"), draw=outliers
    ),
    "Iman-Davenport, 3 levels, 5 units": partial(friedman_f, n=5, k=3),
    "Iman-Davenport, 5 levels, 10 units": partial(friedman_f, n=10, k=5),
}
BROKEN: dict[str, Study] = {
    "10 clusters taken as independent pairs": partial(clustered, test="permutation_p", told=False),
    "4 levels without Holm": partial(holm_family, n=10, corrected=False),
    "looks at 6, 10, 16 without a plan": partial(uncorrected, looks=(6, 10, 16)),
}


def rejections(study: Study, simulations: int, seed: int = 0) -> int:
    """In how many of so many simulated studies something is rejected."""
    return sum(study(np.random.default_rng([seed, number])) for number in range(simulations))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=SIMULATIONS, help="studies for each row")
    count = parser.parse_args(argv).simulations
    print(f"{count} studies a row, level {ALPHA}; the interval is Wilson's, 95 %\n")
    print("| statistic | rejected | interval | |\n| --- | ---: | ---: | --- |")
    for name, study in (HELD | BROKEN).items():
        found = stats.binomtest(rejections(study, count), count)
        low, high = found.proportion_ci(method="wilson")
        verdict = "" if low <= ALPHA else "above its level"
        print(f"| {name} | {found.statistic:.4f} | {low:.4f} to {high:.4f} | {verdict} |", flush=True)


def _differences(rng: np.random.Generator, n: int, draw: Draw) -> NDArray[np.float64]:
    return draw(rng, n) - draw(rng, n)


if __name__ == "__main__":
    main()
