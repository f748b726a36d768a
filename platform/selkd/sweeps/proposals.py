"""Who proposes candidates: ask and tell over a search space, rebuilt from what a ledger says.

Numbers are given in order. The first points come first; then every combination of the grids' values in turn, with
draws that are the same for all of them. `random`, `qmc` and `grid` depend on (seed, number) and on what was proposed
before; Optuna's samplers on the results that were told, too. Subsets of categories have a learner of their own.
A space may change while a study goes on: what was proposed before and lies outside it is not counted and not told.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from selkd.config import RunConfig, Workspace
from selkd.errors import UserError
from selkd.files import fingerprint
from selkd.sweeps import subsets
from selkd.sweeps.candidates import COUNTED, Parameters, Pick, Size
from selkd.sweeps.checks import refuse_on
from selkd.sweeps.draws import generator, quasi_random, stream
from selkd.sweeps.first import first_points
from selkd.sweeps.learner import Learner
from selkd.sweeps.parameters import AnyParameter, Grid, Subset
from selkd.sweeps.past import Past, State
from selkd.sweeps.samplers import GridSearch, Qmc
from selkd.sweeps.space import SearchSpace
from selkd.sweeps.subset_space import Feasible
from selkd.training.setup import rows_of

ASKED = 5
TRIES = 1000
"""Attempts at a candidate that is allowed and new: the first ones are the sampler's, the others random draws."""
PATIENCE = 20
"""Attempts at a new candidate where the space is infinite: a point of a grid may have only one."""
LARGEST_GRID = 200_000


class Proposer:
    """Proposes candidates of a space on data with these categories and so many training rows of each."""

    def __init__(
        self,
        space: SearchSpace,
        categories: Sequence[str],
        superclasses: Mapping[str, Sequence[str]],
        rows: Sequence[int],
    ) -> None:
        self.space, self.candidates = space, space.candidates
        self.past: dict[int, Past] = {}
        self._outside: set[int] = set()  # candidates of the past that the present space does not have
        self._known: set[str] = set()
        self._warm: list[Past] = []
        self._learner = Learner(space) if space.sampler.learns else None
        refuse_on(space, categories, superclasses, rows)
        self._feasible = {
            key: _feasible(key, parameter, categories, superclasses, rows)
            for key, parameter in space.search.items()
            if isinstance(parameter, Subset)
        }
        for index, point in enumerate(space.first):
            if not self.contains(point):
                raise UserError(f"first.{index}: {dict(point)} does not lie in the search space. Change or remove it.")

    @classmethod
    def of(cls, space: SearchSpace, workspace: Workspace) -> "Proposer":
        """On the data and the training rows of the space's base configuration."""
        dataset, parts = rows_of(RunConfig.model_validate(space.base).data, workspace)
        rows = torch.bincount(parts.train.labels, minlength=len(dataset.categories)).tolist()
        return cls(space, dataset.categories, dataset.superclasses, rows)

    def propose(self, number: int) -> Parameters | None:
        """The parameters of candidate `number`, which is open now; None where every candidate was proposed."""
        found = self._proposed(number)
        if found is not None:
            self._keep(Past(number, found))
        return found

    def tell(
        self,
        number: int,
        state: State,
        values: Sequence[float] | None,
        constraints: Sequence[float] = (),
    ) -> None:
        """How a candidate ended; told once, with the means of its trials."""
        before = self.past[number]
        assert before.state is None, f"candidate {number} was told before"
        ended = self._sound(replace(before, state=state, values=values, constraints=constraints))
        self.past[number] = ended
        if self._learner and number not in self._outside:
            self._learner.tell(ended)

    def restore(self, past: Sequence[Past]) -> None:
        """Go on after these candidates, as the proposer that proposed them would."""
        for one in sorted(map(self._sound, past), key=lambda one: one.number):
            if not self.contains(one.parameters):
                self._outside.add(one.number)
            self._keep(one)
            if self._learner and one.number not in self._outside:
                self._learner.add(one)

    def warm(self, past: Sequence[Past]) -> int:
        """Tell the sampler another study's complete candidates; returns how many fit this space."""
        told = [one for one in map(self._sound, past) if one.state == "complete" and self.contains(one.parameters)]
        for one in told:
            self._warm.append(one)
            if self._learner:
                self._learner.add(replace(one, number=-len(self._warm)))
        return len(told)

    @cached_property
    def size(self) -> Size:
        """How many candidates there are."""
        return self.candidates.size(lambda key: self._feasible[key].count())

    def contains(self, parameters: Mapping[str, Any]) -> bool:
        """Whether these could be the parameters of a candidate."""
        return self.candidates.contains(parameters, lambda key, value: self._feasible[key].contains(value))

    def _proposed(self, number: int) -> Parameters | None:
        if isinstance(self.space.sampler, GridSearch):
            return next(self._untried, None)
        point = next(filter(self._new, self._points), None)
        if point is not None:
            return self._added(number, point)
        if self.size.exact and self.size.total is not None and len(self._known) >= self.size.total:
            return None
        index, place = divmod(number - len(self._points), len(self.candidates.grid))
        point = self.candidates.grid[place]
        for attempt in range(TRIES):
            learner = self._learner if attempt < ASKED else None
            pick = learner.ask(number, attempt, point) if learner else self._draws(index, attempt, point)
            found = self.candidates.walk(self._with_subsets(pick, number, index, attempt))
            if self._wanted(found):
                return self._added(number, found, asked=learner is not None)
            if learner:
                learner.drop()
            if self.size.total is None and attempt >= PATIENCE and self.candidates.allowed(found):
                return self._added(number, found)
        left = next(self._untried, None) if self._few else None
        return None if left is None else self._added(number, left)

    def _draws(self, index: int, attempt: int, point: Mapping[str, Any]) -> Pick:
        """Values that depend on the numbers alone; a point of the grid keeps its own."""
        seed, sampler = self.space.seed, self.space.sampler
        shares = {}
        if isinstance(sampler, Qmc) and attempt == 0:
            keys = [key for key, one in self.space.search.items() if not isinstance(one, Subset | Grid)]
            shares = quasi_random(sampler.sequence, sorted(keys), index, seed)

        def pick(key: str, parameter: AnyParameter) -> Any:
            if key in point:
                return point[key]
            return parameter.at(shares[key] if key in shares else generator(key, seed, index, attempt).random())

        return pick

    def _with_subsets(self, pick: Pick, number: int, index: int, attempt: int) -> Pick:
        def value(key: str, parameter: AnyParameter) -> Any:
            if not isinstance(parameter, Subset):
                return pick(key, parameter)
            feasible, seed = self._feasible[key], self.space.seed
            if self._learner is None or attempt >= ASKED:
                return list(feasible.random(generator(key, seed, index, attempt)))
            told, pending = self._told_subsets(key)
            return list(subsets.propose(feasible, told, pending, number=number, seed=stream(seed, attempt)))

        return value

    def _told_subsets(self, key: str) -> tuple[list[tuple[tuple[str, ...], float | None]], list[tuple[str, ...]]]:
        """The subsets tried so far, with the first metric so that larger is better; and those still open.

        Failed and pruned ones have no value: they are not proposed again, and say nothing of others.
        """
        told, pending = [], []
        inside = (one for number, one in self.past.items() if number not in self._outside)
        for one in (*self._warm, *inside):
            subset = tuple(one.parameters.get(key, ()))
            if subset and one.state is None:
                pending.append(subset)
            elif subset:
                kept = one.values and all(violation <= 0 for violation in one.constraints)
                told.append((subset, self._sign * one.values[0] if one.values and kept else None))
        return told, pending

    def _wanted(self, parameters: Parameters) -> bool:
        """Allowed, and not proposed before."""
        return self._new(parameters) and self.candidates.allowed(parameters)

    def _new(self, parameters: Parameters) -> bool:
        return fingerprint(parameters) not in self._known

    def _added(self, number: int, parameters: Parameters, asked: bool = False) -> Parameters:
        """The candidate is open now; the learner knows the one that it was asked for."""
        if self._learner and asked:
            self._learner.take(number)
        elif self._learner:
            self._learner.add(Past(number, parameters))
        return parameters

    def _keep(self, one: Past) -> None:
        self.past[one.number] = one
        if one.number not in self._outside:
            self._known.add(fingerprint(one.parameters))

    def _sound(self, one: Past) -> Past:
        """The same; a complete candidate that lacks a value of this space's metrics is a failed one."""
        every_value = len(one.values or ()) == len(self.space.metrics)
        return (one if every_value else replace(one, values=None)).sound

    @property
    def _sign(self) -> int:
        return 1 if next(iter(self.space.metrics.values())) == "maximise" else -1

    @property
    def _few(self) -> bool:
        return self.size.total is not None and self.size.total <= COUNTED

    @cached_property
    def _points(self) -> list[Parameters]:
        return first_points(self.space, self._with_subsets(self._draws(0, TRIES, {}), 0, 0, TRIES))

    @cached_property
    def _untried(self) -> Iterator[Parameters]:
        """The candidates of a finite space that were not proposed by the time they are asked for."""
        return filter(self._new, self._every)

    @cached_property
    def _every(self) -> list[Parameters]:
        """All candidates of a finite space, in a seeded order."""
        total = self.size.total
        if total is None or total > LARGEST_GRID:
            raise UserError(
                f"sampler: a grid of {self.size} candidates is too large. Use random, or narrow the search."
            )
        found = list(self.candidates.every(lambda key: iter(self._feasible[key])))
        order = np.random.default_rng(self.space.seed).permutation(len(found))
        return [found[place] for place in order]


def _feasible(
    key: str,
    parameter: Subset,
    categories: Sequence[str],
    superclasses: Mapping[str, Sequence[str]],
    rows: Sequence[int],
) -> Feasible:
    try:
        return parameter.subset.on(categories, superclasses, rows)
    except UserError as error:
        raise UserError(f"search.{key}.subset.{error}") from None
