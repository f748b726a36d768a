"""Candidates until a subset within 1 % of the best is tried: our subset search against what Optuna offers.

The best subset is known by enumeration. Values are measured from the mean of all subsets (0) to the best (1); the goal
is 0.99. On the noisy problem samplers are told values with noise of 0.1, and the true one must reach the goal.

    ours         selkd.sweeps.subsets
    K booleans   a boolean a category, TPE. A set of a wrong size is `repaired` at random and told as repaired, or told
                 as `infeasible` by its distance from the sizes (then it is no candidate, but the cap counts it).
                 The better of the two medians is compared.
    one of many  one categorical, TPE, over all subsets, or over 1,000 random ones where there are more
    random       uniform over the feasible subsets

Medians over seeds, which draw the problem and the sampler. A seed that is not there by the cap counts as later than it.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import TrialState

from benchmarks.transport.measure import one_thread, row
from selkd.sweeps.subsets import Feasible, Subset, SubsetSpace, propose

GOAL = 0.99
CLUSTER = 5
MANY = 1000
INCLUDED = CategoricalDistribution((False, True))
KINDS = {
    "additive": "40 categories, 5 chosen; an effect of every category",
    "noisy": "the same, told with noise",
    "pairwise": "20 categories, 5 chosen; an effect of every category and of every pair",
    "clustered": "30 categories, 5 chosen; those of a cluster of 5 help one another, in each by another strength",
    "shuffled": "the same, names shuffled",
    "few": "10 categories, 4 chosen: 210 subsets; pairwise",
    "bounded": "20 categories, 3 to 6 chosen; pairwise, and every category has a price",
}


@dataclass(frozen=True)
class Problem:
    """The value of every subset: 0 the mean, 1 the best."""

    feasible: Feasible
    value: Callable[[Subset], float]
    noise: float

    @property
    def names(self) -> tuple[str, ...]:
        return self.feasible.categories

    def told(self, subset: Subset, rng: np.random.Generator) -> float:
        return self.value(subset) + self.noise * rng.standard_normal()

    def excess(self, size: int) -> int:
        """How many categories are too many (positive) or too few (negative)."""
        return size - min(max(size, self.feasible.smallest), self.feasible.largest)


def problem(kind: str, seed: int) -> Problem:
    rng = np.random.default_rng(seed)
    k = {"additive": 40, "noisy": 40, "pairwise": 20, "few": 10, "bounded": 20}.get(kind, 30)
    sizes = {"few": (4, 4), "bounded": (3, 6)}.get(kind, (5, 5))
    effects, pairs = rng.standard_normal(k), np.zeros((k, k))
    if kind in ("pairwise", "few", "bounded"):
        pairs = rng.standard_normal((k, k))
    if kind in ("clustered", "shuffled"):
        effects, pairs = effects / 2, np.kron(np.diag(rng.uniform(0, 1, k // CLUSTER)), np.ones((CLUSTER, CLUSTER)))
    pairs = np.triu(pairs, 1) + np.triu(pairs, 1).T
    if kind == "bounded":
        effects -= 2
    if kind == "shuffled":
        order = rng.permutation(k)
        effects, pairs = effects[order], pairs[np.ix_(order, order)]

    def raw(ids: np.ndarray) -> np.ndarray:
        within = [pairs[ids[:, i], ids[:, j]] for i, j in combinations(range(ids.shape[1]), 2)]
        return effects[ids].sum(1) + np.sum(within, axis=0)

    every = np.concatenate([raw(_combinations(k, size)) for size in range(sizes[0], sizes[1] + 1)])
    low, high = every.mean(), every.max()
    names = [f"c{i:02d}" for i in range(k)]
    feasible = SubsetSpace(size=sizes).on(names, {}, [1] * k)

    def value(subset: Subset) -> float:
        return float((raw(np.array([[int(name[1:]) for name in subset]]))[0] - low) / (high - low))

    return Problem(feasible, value, 0.1 if kind == "noisy" else 0.0)


def _combinations(k: int, size: int) -> np.ndarray:
    ids = np.fromiter(chain.from_iterable(combinations(range(k), size)), np.int64, size * math.comb(k, size))
    return ids.reshape(-1, size)


def ours(problem: Problem, seed: int, cap: int) -> float:
    rng, told = np.random.default_rng(seed), []
    for number in range(cap):
        subset = propose(problem.feasible, told, number=number, seed=seed)
        if problem.value(subset) >= GOAL:
            return number + 1
        told.append((subset, problem.told(subset, rng)))
    return math.inf


def drawn(problem: Problem, seed: int, cap: int) -> float:
    rng = np.random.default_rng(seed)
    subsets = (problem.feasible.random(rng) for _ in range(cap))
    return next((n for n, subset in enumerate(subsets, 1) if problem.value(subset) >= GOAL), math.inf)


def repaired(problem: Problem, seed: int, cap: int) -> float:
    rng, study = np.random.default_rng(seed), _study(seed)
    for number in range(1, cap + 1):
        trial = study.ask(dict.fromkeys(problem.names, INCLUDED))
        flags = [trial.params[name] for name in problem.names]
        excess = problem.excess(sum(flags))
        for i in rng.permutation([i for i, flag in enumerate(flags) if flag == (excess > 0)])[: abs(excess)]:
            flags[i] = not flags[i]
        subset = tuple(name for name, flag in zip(problem.names, flags, strict=True) if flag)
        if problem.value(subset) >= GOAL:
            return number
        study.tell(trial, state=TrialState.FAIL)
        params: dict[str, bool] = dict(zip(problem.names, flags, strict=True))
        kinds: dict[str, BaseDistribution] = dict.fromkeys(problem.names, INCLUDED)
        value = problem.told(subset, rng)
        study.add_trial(optuna.create_trial(params=params, distributions=kinds, value=value))
    return math.inf


def infeasible(problem: Problem, seed: int, cap: int) -> float:
    rng, study, candidates = np.random.default_rng(seed), _study(seed), 0
    for _ in range(cap):
        trial = study.ask(dict.fromkeys(problem.names, INCLUDED))
        subset = tuple(name for name in problem.names if trial.params[name])
        excess = abs(problem.excess(len(subset)))
        candidates += not excess
        if not excess and problem.value(subset) >= GOAL:
            return candidates
        trial.set_constraint("size", excess)
        study.tell(trial, 0.0 if excess else problem.told(subset, rng))
    return math.inf


def one_of_many(problem: Problem, seed: int, cap: int) -> float:
    rng, study = np.random.default_rng(seed), _study(seed)
    feasible = problem.feasible
    subsets = [*feasible] if feasible.count() <= MANY else [feasible.random(rng) for _ in range(MANY)]
    for number in range(1, cap + 1):
        trial = study.ask({"subset": CategoricalDistribution(tuple(range(len(subsets))))})
        subset = subsets[trial.params["subset"]]
        if problem.value(subset) >= GOAL:
            return number
        study.tell(trial, problem.told(subset, rng))
    return math.inf


def _study(seed: int) -> optuna.Study:
    return optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))


METHODS = {"ours": ours, "repaired": repaired, "infeasible": infeasible, "one of many": one_of_many, "random": drawn}
PEERS = ("K booleans", "one of many", "random")


def shown(median: float, cap: int) -> str:
    return f"{median:g}" if median <= cap else f"> {cap}"


def ratio(ours: float, peer: float, cap: int) -> str:
    """Ours over a peer's median; bounded by the cap where one of them is later."""
    if min(ours, peer) > cap:
        return "-"
    sign = "< " if peer > cap else "> " if ours > cap else ""
    return f"{sign}{min(ours, cap) / min(peer, cap):.2f}"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--cap", type=int, default=300, help="candidates that a seed may try")
    parser.add_argument("--kind", choices=KINDS, action="append", help="only these problems")
    options = parser.parse_args(argv)
    one_thread()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(f"median candidates to the goal over {options.seeds} seeds (seeds that got there); ours / peer\n")
    heads = [*METHODS, *(f"ours / {peer}" for peer in PEERS), "ours, ms a proposal"]
    print(row("problem", heads) + "\n" + row("---", ["---:"] * len(heads)))
    for kind in options.kind or KINDS:
        counts: dict[str, list[float]] = {name: [] for name in METHODS}
        seconds = 0.0
        for seed in range(options.seeds):
            posed = problem(kind, seed)
            for name, method in METHODS.items():
                start = time.process_time()
                counts[name].append(method(posed, seed, options.cap))
                seconds += (time.process_time() - start) * (name == "ours")
        medians = {name: statistics.median(found) for name, found in counts.items()}
        medians["K booleans"] = min(medians["repaired"], medians["infeasible"])
        there = {name: sum(count <= options.cap for count in found) for name, found in counts.items()}
        cells = [f"{shown(medians[name], options.cap)} ({there[name]})" for name in METHODS]
        cells += [ratio(medians["ours"], medians[peer], options.cap) for peer in PEERS]
        proposals = sum(min(count, options.cap) for count in counts["ours"])
        print(row(kind, [*cells, f"{1e3 * seconds / proposals:.0f}"]), flush=True)
    print("\n" + "\n".join(f"{kind}: {about}" for kind, about in KINDS.items()))


if __name__ == "__main__":
    main()
