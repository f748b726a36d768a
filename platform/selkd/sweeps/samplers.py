"""Samplers by name. Every number and flag is written out, because Optuna's defaults change between its releases.
Left to Optuna are its functions and strategies, and the arguments that it is about to remove.

`random`, `qmc` and `grid` never look at results, so their proposals are a function of (seed, number). The others are
Optuna's, built anew for every proposal from (seed, number), so that nothing but what was told decides.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import optuna
from optuna.distributions import BaseDistribution
from pydantic import Field

from selkd.sweeps.settings import Settings

Ranges = Mapping[str, BaseDistribution]


class Sampler(Settings):
    """What every sampler has."""

    learns: ClassVar[bool] = True
    several_metrics: ClassVar[bool] = True
    constraints: ClassVar[bool] = True
    replays: ClassVar[bool] = False
    """Its state lies in past proposals, which are made again when a study is resumed."""

    def build(self, seed: int, ranges: Ranges) -> optuna.samplers.BaseSampler:
        raise AssertionError("this sampler is not one of Optuna's")


class Random(Sampler):
    """Every parameter drawn on its own."""

    learns: ClassVar[bool] = False
    name: Literal["random"] = "random"


class Qmc(Sampler):
    """Quasi-random draws that cover the space evenly: one dimension a parameter, whether it is active or not."""

    learns: ClassVar[bool] = False
    name: Literal["qmc"] = "qmc"
    sequence: Literal["sobol", "halton"] = Field(default="sobol", description="The sequence.")


class GridSearch(Sampler):
    """Every candidate of a finite space once, in a seeded order."""

    learns: ClassVar[bool] = False
    name: Literal["grid"] = "grid"


class Tpe(Sampler):
    """Tree-structured Parzen estimator over groups of parameters that occur together (Bergstra et al. 2011)."""

    name: Literal["tpe"] = "tpe"
    startup: int = Field(default=10, ge=1, description="Candidates drawn at random first.")
    draws: int = Field(default=24, ge=1, description="Draws from which the best is taken.")

    def build(self, seed: int, ranges: Ranges) -> optuna.samplers.BaseSampler:
        return optuna.samplers.TPESampler(
            n_startup_trials=self.startup,
            n_ei_candidates=self.draws,
            multivariate=True,
            group=True,
            constant_liar=True,
            seed=seed,
        )


class Gp(Sampler):
    """Gaussian process over the parameters that all candidates have; the others are drawn at random."""

    name: Literal["gp"] = "gp"
    startup: int = Field(default=10, ge=1, description="Candidates drawn at random first.")
    deterministic: bool = Field(default=False, description="Whether results are free of noise.")

    def build(self, seed: int, ranges: Ranges) -> optuna.samplers.BaseSampler:
        return optuna.samplers.GPSampler(
            seed=seed,
            independent_sampler=optuna.samplers.RandomSampler(seed),
            n_startup_trials=self.startup,
            deterministic_objective=self.deterministic,
            warn_independent_sampling=False,
        )


class CmaEs(Sampler):
    """CMA-ES over the ranges that all candidates have; everything else is drawn at random (Hansen 2016)."""

    several_metrics: ClassVar[bool] = False
    constraints: ClassVar[bool] = False
    replays: ClassVar[bool] = True
    name: Literal["cma-es"] = "cma-es"
    startup: int = Field(default=1, ge=1, description="Candidates drawn at random first.")
    spread: float | None = Field(default=None, gt=0, description="First step size; a sixth of the ranges when absent.")
    population: int | None = Field(default=None, ge=2, description="Candidates a generation.")

    def build(self, seed: int, ranges: Ranges) -> optuna.samplers.BaseSampler:
        return _OverRanges(
            ranges,
            sigma0=self.spread,
            n_startup_trials=self.startup,
            independent_sampler=optuna.samplers.RandomSampler(seed),
            warn_independent_sampling=False,
            seed=seed,
            popsize=self.population,
            with_margin=True,
            consider_pruned_trials=False,
            use_separable_cma=False,
            lr_adapt=False,
            source_trials=None,
        )


class Nsga2(Sampler):
    """Genetic search with non-dominated sorting, for several metrics (Deb et al. 2002)."""

    replays: ClassVar[bool] = True
    name: Literal["nsga-ii"] = "nsga-ii"
    population: int = Field(default=50, ge=2, description="Candidates a generation.")
    mutation: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Chance that a parameter is drawn anew; one over their number when absent.",
    )
    crossover: float = Field(default=0.9, ge=0, le=1, description="Chance that a candidate has two parents.")
    swapping: float = Field(
        default=0.5, ge=0, le=1, description="Chance that a parameter comes from the second parent."
    )

    def build(self, seed: int, ranges: Ranges) -> optuna.samplers.BaseSampler:
        return optuna.samplers.NSGAIISampler(
            population_size=self.population,
            mutation_prob=self.mutation,
            crossover_prob=self.crossover,
            swapping_prob=self.swapping,
            seed=seed,
        )


AnySampler = Annotated[Random | Qmc | GridSearch | Tpe | Gp | CmaEs | Nsga2, Field(discriminator="name")]
SAMPLERS: Sequence[type[Sampler]] = (Tpe, Gp, CmaEs, Nsga2, Qmc, Random, GridSearch)


class _OverRanges(optuna.samplers.CmaEsSampler):
    """CMA-ES over the same ranges from first to last: Optuna's goes wrong when a later candidate lacks one."""

    def __init__(self, ranges: Ranges, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._ranges = dict(ranges)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._ranges


def built(sampler: Sampler, seed: int, ranges: Ranges) -> optuna.samplers.BaseSampler:
    """Optuna's sampler; `ranges` are those that all candidates have. Users cannot act on what it says of its parts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.simplefilter("ignore", FutureWarning)
        return sampler.build(seed, ranges)
