"""What a search space cannot be: everything that would fail later is refused here, with the key and the remedy."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from selkd.config import RunConfig
from selkd.data import Task
from selkd.errors import UserError, nearest
from selkd.selection.categories.base import SizedSettings
from selkd.sweeps import goals
from selkd.sweeps.candidates import Candidates, Parameters
from selkd.sweeps.components import components, has, known_keys, owner
from selkd.sweeps.parameters import AnyParameter, Choice, Subset
from selkd.sweeps.samplers import CmaEs, GridSearch
from selkd.sweeps.tree import lookup

if TYPE_CHECKING:
    from selkd.sweeps.space import SearchSpace

NOT_IN_BASE = {
    "seed": "students' seeds begin at the space's own seed. Write seed beside base",
    "name": "students are named after the study. Write name beside base",
    "experiment": "a study's students go to the experiment of its name. Write name beside base",
}
DRAWS = 1000
TRIED = 200
LAST = 1 - 1e-9
"""The share at which a parameter has its last value."""
CHOOSING = ("task", "selection.categories")
"""Beginnings of the keys that say which categories a student is for."""
NOT_SEARCHED = {
    "name": "the study names its students",
    "experiment": "it is the study's name",
    "seed": "budget.seeds trains every candidate with several",
    "data.seed": "candidates must share their splits to be compared",
    "data.source": "candidates must share their data to be compared",
    "data.root": "it does not change the student",
    "data.validation": "candidates must share their splits to be compared",
    "data.test": "candidates must share their splits to be compared",
    "data.memory_budget": "it does not change the student",
}


def refuse_what_cannot_be(space: "SearchSpace") -> None:
    _keys(space)
    _metrics(space)
    candidates, rng = without_data(space.candidates), np.random.default_rng(space.seed)
    drawn = [candidates.walk(lambda _, parameter: parameter.at(rng.random())) for _ in range(DRAWS)]
    _values(candidates, drawn)
    _forbidden(candidates, drawn)
    _sampler(space)
    _ends(space)
    _plan(space)


def refuse_on(
    space: "SearchSpace", categories: Sequence[str], superclasses: Mapping[str, Sequence[str]], rows: Sequence[int]
) -> None:
    """What cannot be on data with these categories and so many training rows of each; subsets say it themselves."""
    subset = next((one.subset for one in space.search.values() if isinstance(one, Subset)), None)
    for name in space.target:
        if name not in categories:
            raise UserError(f"target: {name!r} is not a category of the data. {nearest(name, categories)}")
    for name in (*space.metrics, *space.constraints):
        category = name.partition(f"/{goals.RECALL}")[2]
        if category and category not in categories:
            raise UserError(f"metrics: {name!r} names no category of the data. {nearest(category, categories)}")
        if category and subset and category not in subset.must:
            raise UserError(f"metrics: {name!r} is known only where {category!r} is chosen. Add it to subset.must.")
    if subset is None:
        _tasks(space, categories, superclasses, rows)
    elif "open" in space.modes:
        _leaves_one("search.task.categories.subset.size", subset.bounds[1], categories)


def _tasks(
    space: "SearchSpace", categories: Sequence[str], superclasses: Mapping[str, Sequence[str]], rows: Sequence[int]
) -> None:
    """No candidate names categories, or lets a policy choose more of them, than the data have."""
    rng, seen = np.random.default_rng(space.seed), set()
    for attempt in range(TRIED if any(key.startswith(CHOOSING) for key in space.search) else 1):
        largest = attempt % 2  # of the sizes, so that the end of a range is among those that are tried
        parameters = space.candidates.walk(
            lambda key, one, largest=largest: one.at(LAST if largest and key.endswith(".size") else rng.random())
        )
        if not space.candidates.allowed(parameters):
            continue
        config = RunConfig.model_validate(space.candidates.tree(parameters))
        settings, task = config.selection.categories, Task(config.task.categories, config.task.mode)
        if str((settings, task)) in seen:
            continue
        seen.add(str((settings, task)))
        if settings.policy == "explicit":
            with _at("task"):
                task.on(categories, superclasses)
        elif isinstance(settings, SizedSettings):
            with _at("selection.categories"):
                settings.on(categories, superclasses, rows)
            if task.mode == "open":
                _leaves_one("selection.categories.size", settings.size, categories)


def _leaves_one(key: str, size: int, categories: Sequence[str]) -> None:
    if size >= len(categories):
        raise UserError(
            f"{key}: an open task leaves a category out, and {size} of {len(categories)} leave none. "
            "Ask for fewer, or use task.mode closed."
        )


@contextmanager
def _at(place: str) -> Iterator[None]:
    """A mistake is of a key below this one."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{place}.{error}") from None


def _keys(space: "SearchSpace") -> None:
    if not space.search:
        raise ValueError("search: nothing is searched. Add a key, for example objective.* for its declared ranges.")
    for key, reason in NOT_IN_BASE.items():
        if key in space.base:
            raise ValueError(f"base.{key}: does nothing, because {reason}, or remove it.")
    if space.budget.resplit and lookup(space.base, "data.seed") is not None:
        raise ValueError("base.data.seed: does nothing, because budget.resplit gives each seed its own. Remove one.")
    named = [("search", key) for key in space.search]
    named += [(f"search.{key}.when", parent) for key, one in space.search.items() for parent in one.when]
    named += [(f"forbid.{index}", key) for index, pairs in enumerate(space.forbid) for key in pairs]
    named += [(f"first.{index}", key) for index, point in enumerate(space.first) for key in point]
    for place, key in named:
        if key not in known_keys():
            raise ValueError(f"{place}: {key!r} is an unknown key. {nearest(key, known_keys())}")
    for key, parameter in space.search.items():
        reason = NOT_SEARCHED.get(key) or ("it does not change the student" if key.startswith("workers") else None)
        if reason:
            raise ValueError(f"search.{key}: not searched, because {reason}. Remove it.")
        if isinstance(parameter, Subset) and key != "task.categories":
            raise ValueError(f"search.{key}: a subset is one of categories. Use it for task.categories.")
    for index, point in enumerate(space.first):
        odd = next((key for key in point if key not in space.search), None)
        if odd:
            raise ValueError(f"first.{index}: {odd!r} is not searched. {nearest(odd, space.search)}")


def _metrics(space: "SearchSpace") -> None:
    if not space.metrics:
        raise ValueError("metrics: none. Add for example validation/accuracy: maximise.")
    for place, names in (("metrics", space.metrics), ("constraints", space.constraints)):
        for name in names:
            if found := goals.fault(name, space.modes, space.target):
                raise ValueError(f"{place}: {found}")
    for name, limit in space.constraints.items():
        if found := limit.fault(name):
            raise ValueError(f"constraints: {found}")
    if space.target and goals.TARGET not in {*space.metrics, *space.constraints}:
        raise ValueError(f"target: {space.target!r} does nothing without the metric {goals.TARGET}. Remove it.")
    judged = next(iter(space.metrics))
    if space.stopping and (
        not judged.startswith(("validation/", goals.TARGET)) or judged.endswith(goals.ONLY_AT_THE_END)
    ):
        raise ValueError(
            f"stopping: the first metric, {judged}, is not known during training. "
            "Put one of validation first, or remove stopping."
        )


def _sampler(space: "SearchSpace") -> None:
    sampler = space.sampler
    if len(space.metrics) > 1 and not sampler.several_metrics:
        raise ValueError(f"sampler: {sampler.name} takes one metric, not {len(space.metrics)}. Use nsga-ii, tpe or gp.")
    if space.constraints and not sampler.constraints:
        raise ValueError(f"sampler: {sampler.name} knows no constraints. Use tpe, gp or nsga-ii, or remove them.")
    if space.warm_start and not sampler.learns:
        raise ValueError(f"warm_start: {sampler.name} does not look at results. Use tpe, or remove warm_start.")
    if isinstance(sampler, GridSearch):
        ranges = [key for key, one in space.search.items() if Candidates.continuous(one)]
        if ranges:
            raise ValueError(f"sampler: grid cannot try every value of {ranges[0]}. Give it a choice, or use qmc.")
        if space.first:
            raise ValueError("first: grid tries every candidate anyway. Remove first.")
    if isinstance(sampler, CmaEs) and len(space.candidates.ranges) < 2:
        raise ValueError("sampler: cma-es needs two ranges that all candidates have. Use tpe.")


def without_data(candidates: Candidates) -> Candidates:
    """The same candidates with one stand-in for all subsets, which depend on data that are not read here."""
    search = {
        key: Choice(choice=[one.subset.must or one.subset.among or ["any"]], when=one.when)
        if isinstance(one, Subset)
        else one
        for key, one in candidates.search.items()
    }
    return Candidates(candidates.base, search, candidates.forbid)


def _values(candidates: Candidates, drawn: list[Parameters]) -> None:
    """Every value must be possible in some candidate, and no candidate impossible that is not forbidden."""
    for key, parameter in candidates.search.items():
        having = [candidate for candidate in drawn if key in candidate]
        if not having:
            raise ValueError(f"search.{key}: no candidate has it, because {_reason(key, parameter)}. Remove it.")
        for value in parameter.ends():
            faults = []
            for candidate in _different(having, key):
                changed = candidates.walk(
                    lambda k, p, c=candidate, v=value: v if k == key else c[k] if k in c else p.at(0.5)  # noqa: B023
                )
                if key in changed and not candidates.forbidden(changed):
                    faults.append(candidates.fault(changed))
                    if faults[-1] is None:
                        break
            if faults and faults[-1] is not None:
                raise ValueError(f"search.{key}: {value!r} is not possible: {faults[0]}")
    for candidate in drawn[:TRIED]:
        if not candidates.forbidden(candidate) and (found := candidates.fault(candidate)):
            raise ValueError(f"search: {_written(candidate)} is not possible: {found} Forbid it, or narrow the search.")


def _reason(key: str, parameter: AnyParameter) -> str:
    if parameter.when:
        return f"none with it has {_written(parameter.when)}"
    component = owner(key)
    having = [name for name in component.members if has(key, name)] if component else []
    return (
        f"none has {component.key} {' or '.join(having)}, or it does nothing there" if component else "it does nothing"
    )


def _different(having: list[Parameters], key: str) -> Iterator[Parameters]:
    """A few candidates with the key, those of different choices first."""
    seen: dict[str, Parameters] = {}
    for candidate in having:
        words = {k: v for k, v in candidate.items() if k != key and not isinstance(v, float)}
        seen.setdefault(str(words), candidate)
    return islice(iter(seen.values()), 50)


def _forbidden(candidates: Candidates, drawn: list[Parameters]) -> None:
    if drawn and all(map(candidates.forbidden, drawn)):
        raise ValueError("forbid: every candidate is forbidden. Remove an entry, or widen the search.")


def _ends(space: "SearchSpace") -> None:
    budget = space.budget
    if budget.candidates is None and budget.hours is None and budget.student_hours is None:
        infinite = any(Candidates.continuous(parameter) for parameter in space.search.values())
        if infinite or any(isinstance(parameter, Subset) for parameter in space.search.values()):
            raise ValueError("budget: nothing ends this study. Give candidates, hours or student_hours.")


def _plan(space: "SearchSpace") -> None:
    plan, seeds = space.comparison, space.budget.seeds
    if plan is None:
        return
    for place, key in (*(("by", key) for key in plan.by.split("+")), *(("within", key) for key in plan.within)):
        if key not in space.search and not any(key.startswith(f"{group}.") for group in space.search):
            raise ValueError(f"comparison.{place}: {key!r} is not searched. {nearest(key, space.search)}")
        if component := components().get(key):
            raise ValueError(
                f"comparison.{place}: {key!r} is a group of keys. Name one of them, such as {component.key}, "
                "or several joined by +."
            )
    if plan.looks and plan.looks[0] != seeds:
        raise ValueError(
            f"comparison.looks: the first is after budget.seeds, {seeds}, not {plan.looks[0]}. "
            "Change one of them, or set comparison=null."
        )


def _written(parameters: Any) -> str:
    return ", ".join(f"{key}={value}" for key, value in parameters.items())
