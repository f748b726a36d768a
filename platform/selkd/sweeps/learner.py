"""Optuna's side of a study: an in-memory study that is asked and told, and can be rebuilt from past candidates.

Optuna holds the parameters that it proposes or could have proposed; subsets of categories are not among them. Its
sampler is built anew for every question from (seed, number, attempt), so nothing but the told history decides.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial

from selkd.sweeps.candidates import Pick
from selkd.sweeps.draws import stream
from selkd.sweeps.parameters import AnyParameter, Subset
from selkd.sweeps.past import Past
from selkd.sweeps.samplers import built

if TYPE_CHECKING:
    from selkd.sweeps.space import SearchSpace

STATES = {
    None: TrialState.RUNNING,
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
ENOUGH = 8
"""Complete candidates from which importances are told."""
CATEGORIES = 30
"""Categories of a searched subset whose importances are told at most."""
INCLUDED = CategoricalDistribution((False, True))


class Learner:
    """Proposes by what it was told; `take` or `drop` follows every `ask`."""

    def __init__(self, space: "SearchSpace") -> None:
        self.space = space
        self.study = _study(space)
        self._ranges = {key: one.distribution() for key, one in space.candidates.ranges.items()}
        self._trials: dict[int, optuna.Trial] = {}
        self._asked: optuna.Trial | None = None

    def ask(self, number: int, attempt: int, fixed: Mapping[str, Any]) -> Pick:
        """A function that gives each active parameter its value; `fixed` ones keep theirs."""
        trial = self._begin(number, attempt, fixed)
        self._asked = trial
        return lambda key, parameter: _suggested(trial, key, parameter)

    def take(self, number: int) -> None:
        """The candidate asked for is open now, under this number."""
        assert self._asked is not None
        self._trials[number], self._asked = self._asked, None

    def drop(self) -> None:
        """The candidate asked for is not tried."""
        if self._asked is not None:
            self.study.tell(self._asked, state=TrialState.FAIL)
            self._asked = None

    def add(self, past: Past) -> None:
        """A candidate that was not asked for here, as if it had been."""
        held = {key: one for key, one in self.space.search.items() if key in past.parameters and one.kind != "subset"}
        if self.space.sampler.replays:
            trial = self._begin(past.number, 0, {key: past.parameters[key] for key in held})
            for key, parameter in held.items():
                _suggested(trial, key, parameter)
        else:
            self.study.add_trial(
                create_trial(
                    state=TrialState.RUNNING,
                    params={key: one.encode(past.parameters[key]) for key, one in held.items()},
                    distributions={key: one.distribution() for key, one in held.items()},
                )
            )
            trial = optuna.Trial(self.study, self.study.get_trials(deepcopy=False)[-1]._trial_id)
        self._trials[past.number] = trial
        if past.state is not None:
            self.tell(past)

    def tell(self, past: Past) -> None:
        trial = self._trials.pop(past.number)
        for index, violation in enumerate(past.constraints):
            trial.set_constraint(str(index), violation)
        values = past.values if past.state == "complete" else None
        self.study.tell(trial, values, state=STATES[past.state])

    def _begin(self, number: int, attempt: int, fixed: Mapping[str, Any]) -> optuna.Trial:
        with _quiet():
            self.study.sampler = built(self.space.sampler, stream(self.space.seed, number, attempt), self._ranges)
            if fixed:
                self.study.enqueue_trial({key: self.space.search[key].encode(value) for key, value in fixed.items()})
            trial = self.study.ask()
            _ = trial.relative_params  # drawn when first asked for, and the sampler's state with it
            return trial


def importances(space: "SearchSpace", past: Sequence[Past]) -> dict[str, float]:
    """The first metric's variance explained by each parameter that all complete candidates have (fANOVA).

    Of a subset, by whether each category is in it: `task.categories: three`.
    """
    complete = [one for one in past if one.state == "complete" and _lies_in(space, one)]
    if len(complete) < ENOUGH or len({one.values[0] for one in complete if one.values}) < 2:
        return {}
    study = _study(space)
    varying = {key: _varying(key, complete) for key, p in space.search.items() if isinstance(p, Subset)}
    for one in complete:
        held = {key: p for key, p in space.search.items() if key in one.parameters and key not in varying}
        chosen = {
            f"{key}: {name}": name in one.parameters[key]
            for key, names in varying.items()
            if key in one.parameters
            for name in names
        }
        study.add_trial(
            create_trial(
                values=list(one.values or ()),
                params={key: p.encode(one.parameters[key]) for key, p in held.items()} | chosen,
                distributions={key: p.distribution() for key, p in held.items()} | dict.fromkeys(chosen, INCLUDED),
            )
        )
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator, target=lambda trial: trial.values[0])
    return {key: float(share) for key, share in found.items()}


def _varying(key: str, complete: Sequence[Past]) -> list[str]:
    """The categories that some subsets have and some have not; of many, those that tell most: in about half of them."""
    counts = Counter(name for one in complete for name in one.parameters.get(key, ()))
    varying = sorted(name for name, count in counts.items() if count < len(complete))
    return sorted(varying, key=lambda name: abs(2 * counts[name] - len(complete)))[:CATEGORIES]


def _lies_in(space: "SearchSpace", one: Past) -> bool:
    """Whether Optuna can hold it: a space may have changed since a candidate was proposed."""
    every_value = len(one.values or ()) == len(space.metrics)
    return every_value and space.candidates.contains(one.parameters, lambda key, subset: True)


def _study(space: "SearchSpace") -> optuna.Study:
    with _quiet():
        return optuna.create_study(
            directions=["maximize" if d == "maximise" else "minimize" for d in space.metrics.values()],
            pruner=optuna.pruners.NopPruner(),
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _suggested(trial: optuna.Trial, key: str, parameter: AnyParameter) -> Any:
    return parameter.decode(trial._suggest(key, parameter.distribution()))
