"""Samplers by name: inside the space, seeded, better than luck where they learn."""

import inspect
import math
import statistics
from typing import Any

import optuna
import pytest

from selkd.errors import UserError
from selkd.sweeps.proposals import Proposer
from selkd.sweeps.samplers import SAMPLERS, CmaEs, Gp, Nsga2, Sampler, Tpe, built

NAMES = [sampler.model_fields["name"].default for sampler in SAMPLERS]
SLOW = {"gp": pytest.mark.slow}
RANGES = [pytest.param(name, marks=SLOW.get(name, ())) for name in NAMES if name != "grid"]
MIXED: dict[str, Any] = {
    "objective.name": {"choice": ["kd", "selkd"]},
    "objective.*": "declared",
    "objective.gamma": {"uniform": [0.1, 1]},
    "student.width": {"integer": [4, 16], "step": 4},
    "training.optimiser.lr": {"log": [1e-3, 0.1]},
}


def quadratic(proposes: Proposer, candidates: int) -> float:
    """The least squared distance from alpha 3 and epsilon 2, told one after the other."""
    losses = []
    for number in range(candidates):
        parameters = proposes.propose(number)
        assert parameters is not None
        alpha, epsilon = parameters["objective.alpha"], parameters["objective.epsilon"]
        losses.append((alpha / 4 - 0.75) ** 2 + (math.log(epsilon / 2) / 3) ** 2)
        proposes.tell(number, "complete", [-losses[-1]])
    return min(losses)


@pytest.mark.parametrize("name", RANGES)
def test_every_sampler_proposes_inside_the_space(space: Any, proposer: Any, name: str) -> None:
    sampler = {"name": "nsga-ii", "population": 4} if name == "nsga-ii" else name
    whole = space(search=MIXED, sampler=sampler, defaults=True)
    proposes = proposer(whole)
    for number in range(13):
        parameters = proposes.propose(number)
        assert proposes.contains(parameters), parameters
        whole.config(parameters, 0)
        proposes.tell(number, "complete", [float(number % 5)])


@pytest.mark.parametrize("name", RANGES)
def test_a_seed_decides_what_is_proposed(space: Any, proposer: Any, name: str) -> None:
    def proposed(seed: int) -> list[Any]:
        proposes = proposer(space(search=MIXED, sampler=name, seed=seed))
        found = []
        for number in range(6):
            found.append(proposes.propose(number))
            proposes.tell(number, "complete", [float(number % 3)])
        return found

    assert proposed(1) == proposed(1) != proposed(2)


@pytest.mark.parametrize("name", RANGES)
def test_a_sampler_is_named_alone_or_with_its_arguments(space: Any, name: str) -> None:
    assert space(sampler=name) == space(sampler={"name": name})


def test_arguments_reach_optuna(space: Any) -> None:
    tpe = built(space(sampler={"name": "tpe", "startup": 3, "draws": 7}).sampler, 0, {})
    assert isinstance(tpe, optuna.samplers.TPESampler)
    assert (tpe._n_startup_trials, tpe._n_ei_candidates) == (3, 7)
    assert (tpe._multivariate, tpe._group, tpe._constant_liar) == (True, True, True)
    nsga = built(space(sampler={"name": "nsga-ii", "population": 9}).sampler, 0, {})
    assert isinstance(nsga, optuna.samplers.NSGAIISampler)
    assert nsga._population_size == 9
    cma = built(CmaEs(spread=0.3, population=5), 0, {})
    assert isinstance(cma, optuna.samplers.CmaEsSampler)
    assert (cma._sigma0, cma._popsize) == (0.3, 5)


FUNCTIONS = {
    "constraints_func", "gamma", "weights", "mutation", "crossover", "elite_population_selection_strategy",
    "child_generation_strategy", "after_trial_strategy",
}  # fmt: skip
LEAVING = {
    Tpe: {"consider_prior", "prior_weight", "consider_magic_clip", "consider_endpoints", "warn_independent_sampling"},
    CmaEs: {"x0", "restart_strategy", "inc_popsize"},
}


@pytest.mark.parametrize(
    ("sampler", "optunas"),
    [
        (Tpe, optuna.samplers.TPESampler),
        (Gp, optuna.samplers.GPSampler),
        (CmaEs, optuna.samplers.CmaEsSampler),
        (Nsga2, optuna.samplers.NSGAIISampler),
    ],
    ids=lambda value: value.__name__,
)
def test_only_functions_and_what_optuna_removes_are_left_to_its_defaults(
    sampler: type[Sampler], optunas: type[optuna.samplers.BaseSampler], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An argument that a new release of Optuna adds or gives up is noticed here."""
    every = set(inspect.signature(optunas).parameters)
    begin, given = optunas.__init__, set[str]()

    def heard(self: Any, **arguments: Any) -> None:
        given.update(arguments)
        begin(self, **arguments)

    monkeypatch.setattr(optunas, "__init__", heard)
    built(sampler(), 0, {})
    assert every - given - FUNCTIONS == LEAVING.get(sampler, set())
    assert given <= every


def test_tpe_beats_random_draws_on_a_quadratic(space: Any, proposer: Any) -> None:
    learned, luck = (
        [quadratic(proposer(space(sampler=name, seed=seed)), 40) for seed in range(6)] for name in ("tpe", "random")
    )
    assert statistics.median(learned) < statistics.median(luck) / 4
    assert sum(one < other for one, other in zip(learned, luck, strict=True)) >= 5


@pytest.mark.parametrize(
    ("sampler", "candidates"),
    [
        ({"name": "tpe", "startup": 8}, 32),
        ({"name": "nsga-ii", "population": 8}, 48),
        pytest.param({"name": "gp", "startup": 6}, 11, marks=pytest.mark.slow),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else None,
)
def test_constraints_reach_the_sampler(space: Any, proposer: Any, sampler: dict[str, Any], candidates: int) -> None:
    """The value rises where the constraint is missed, so only who hears of it comes back to where it holds."""

    def kept(told: bool) -> float:
        proposes = proposer(space(sampler=sampler, constraints={"cost/parameters": {"at_most": 1}}))
        alphas = []
        for number in range(candidates):
            alphas.append(proposes.propose(number)["objective.alpha"])
            proposes.tell(number, "complete", [alphas[-1]], [alphas[-1] - 1] if told else [])
        late = alphas[-(candidates // 2 - 1) :]
        return statistics.mean(alpha <= 1.1 for alpha in late)

    assert kept(told=True) > kept(told=False) + 0.2


@pytest.mark.parametrize("name", ["tpe", pytest.param("gp", marks=pytest.mark.slow), "nsga-ii", "random", "qmc"])
def test_several_metrics_are_learned_from(space: Any, proposer: Any, name: str) -> None:
    sampler = {"name": name, "startup": 4} if name in ("tpe", "gp") else name
    proposes = proposer(
        space(metrics={"validation/accuracy": "maximise", "cost/parameters": "minimise"}, sampler=sampler)
    )
    for number in range(7):
        alpha = proposes.propose(number)["objective.alpha"]
        if number == 3:
            proposes.tell(number, "pruned", None)
        else:
            proposes.tell(number, "complete", [alpha, alpha**2])
    assert [one.state == "complete" for one in proposes.past.values()] == [number != 3 for number in range(7)]


@pytest.mark.parametrize("changes", [{"metrics": {"validation/accuracy": "maximise", "cost/parameters": "minimise"}},
                                     {"constraints": {"cost/parameters": {"at_most": 1}}},
                                     {"search": {"objective.epsilon": {"log": [1, 2]}}}])  # fmt: skip
def test_cma_es_is_refused_where_optuna_has_no_support(space: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="sampler: cma-es"):
        space(sampler="cma-es", **changes)


def test_optuna_says_nothing_on_its_own(space: Any, proposer: Any, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("tpe", "gp"):
        whole = space(sampler={"name": name, "startup": 2}, search=MIXED)
        proposes = proposer(whole)
        for number in range(4):
            proposes.propose(number)
            proposes.tell(number, "complete", [float(number)])
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
