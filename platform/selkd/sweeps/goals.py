"""What a study looks at: names of metrics, directions, constraints, and a candidate's values from its trials.

`validation/X` and `cost/X` are recorded by every run. `gain/X` is validation/X less that of the twin, the cross-entropy
student of the same subset, rows and seed; `target/accuracy` is the mean recall of fixed categories, where a category
that the student does not know counts as zero. Both score subsets fairly, because easy categories win neither.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import zip_longest
from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from selkd.errors import nearest
from selkd.sweeps.settings import Settings
from selkd.training.metrics import NAMES

Direction = Literal["maximise", "minimise"]
COSTS = ("parameters", "multiply_adds", "latency_ms")
SMALLER_IS_BETTER = ("nll", "calibration_error", "fpr_at_95_tpr", *COSTS)
TARGET = "target/accuracy"
RECALL = "accuracy/"
ONLY_AT_THE_END = "_at_threshold"


class Limit(Settings):
    """What a metric's mean must keep to."""

    at_least: float | None = Field(default=None, description="Smallest mean that is accepted.")
    at_most: float | None = Field(default=None, description="Largest mean that is accepted.")

    @model_validator(mode="after")
    def _limits_something(self) -> "Limit":
        if self.at_least is None and self.at_most is None:
            raise ValueError("give at_least, at_most, or both")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"no number is at least {self.at_least} and at most {self.at_most}. Exchange them.")
        return self

    def fault(self, name: str) -> str | None:
        """Why no student can keep to it."""
        least, most = possible(name)
        if self.at_least is not None and self.at_least > most:
            return f"{name} is {most:g} at most, never at_least {self.at_least:g}. Lower it."
        if self.at_most is not None and self.at_most < least:
            return f"{name} is {least:g} at least, never at_most {self.at_most:g}. Raise it."
        return None

    def violations(self, value: float) -> list[float]:
        """By how much each bound is missed, relative to its size; zero or less where it is kept."""
        low, high = self.at_least, self.at_most
        found = [] if low is None else [(low - value) / (abs(low) or 1)]
        return found if high is None else [*found, (value - high) / (abs(high) or 1)]


class Told(NamedTuple):
    """What the sampler hears of a candidate: its values, and constraints that are at most zero where they hold."""

    values: list[float]
    constraints: list[float]

    @property
    def finite(self) -> bool:
        return all(map(math.isfinite, (*self.values, *self.constraints)))


def told(
    metrics: Iterable[str],
    constraints: Mapping[str, Limit],
    target: Sequence[str],
    trials: Sequence[Mapping[str, float]],
    twins: Sequence[Mapping[str, float]],
) -> Told:
    """Means over a candidate's trials; `twins` are the metrics of the twins, in the order of the trials, if any."""

    def mean(name: str) -> float:
        found = [value(name, target, trial, twin) for trial, twin in zip_longest(trials, twins, fillvalue={})]
        return sum(found) / len(found) if found else math.nan

    limits = [violation for name, limit in constraints.items() for violation in limit.violations(mean(name))]
    return Told([mean(name) for name in metrics], limits)


def value(name: str, target: Sequence[str], trial: Mapping[str, float], twin: Mapping[str, float]) -> float:
    """One metric of one trial; nan where it is not recorded."""
    part, _, rest = name.partition("/")
    if part == "gain":
        recorded = f"validation/{rest}"
        return trial.get(recorded, math.nan) - twin.get(recorded, math.nan)
    if name == TARGET:
        recalls = [trial.get(f"validation/{RECALL}{category}", 0.0) for category in target]
        return sum(recalls) / len(recalls)
    return trial.get(name, math.nan)


def possible(name: str) -> tuple[float, float]:
    """The smallest and the largest value that a known metric can have: all but losses and costs are shares."""
    part, _, rest = name.partition("/")
    most = math.inf if part == "cost" or rest == "nll" else 1.0
    return (-most if part == "gain" else 0.0), most


@cache
def known(mode: str) -> frozenset[str]:
    """The metrics that every run of a mode records, those of single categories aside."""
    named = [f"{part}/{name}" for part in ("validation", "gain") for name in NAMES[mode]]
    return frozenset([*named, *(f"cost/{name}" for name in COSTS)])


def fault(name: str, modes: Iterable[str], target: Sequence[str]) -> str | None:
    """Why a study cannot look at this metric."""
    if name.startswith(("test/", "teacher/test/")):
        other = "validation/" + name.rpartition("test/")[2]
        return f"{name!r} is read from the test split, on which nothing may be chosen. Use {other!r}."
    if name == TARGET:
        return None if target else f"{name!r} needs a target. Add for example target: [three, five]."
    part, _, rest = name.partition("/")
    if part in ("validation", "gain") and rest.startswith(RECALL):
        return None
    for mode in modes:
        if name not in known(mode):
            meant = f"validation/{name}"
            close = (
                f"Did you mean {meant!r}?" if meant in known(mode) else nearest(name, [*sorted(known(mode)), TARGET])
            )
            return f"{name!r} is not recorded by students of task.mode {mode}. {close}"
    return None


def front(points: Mapping[int, Sequence[float]], directions: Sequence[Direction]) -> list[int]:
    """The points that no other one equals or beats everywhere and beats somewhere (the Pareto front)."""
    signs = [1 if direction == "maximise" else -1 for direction in directions]
    scores = {number: [s * v for s, v in zip(signs, values, strict=True)] for number, values in points.items()}

    def beaten(mine: list[float]) -> bool:
        return any(other != mine and all(o >= m for o, m in zip(other, mine, strict=True)) for other in scores.values())

    return sorted(number for number, mine in scores.items() if not beaten(mine))


def directions(value: Any) -> Any:
    """Metrics as users write them: with either spelling of a direction, or names alone, one or a list of them."""
    names = [value] if isinstance(value, str) else value
    alone = isinstance(names, list) and all(isinstance(name, str) for name in names)
    named = {name: _usual(name) for name in names} if alone else value
    if not isinstance(named, Mapping):
        return named
    spelling = {"maximize": "maximise", "minimize": "minimise"}
    return {name: spelling.get(str(direction), direction) for name, direction in named.items()}


def _usual(name: str) -> Direction:
    """The direction of a metric that is named alone."""
    return "minimise" if name.rpartition("/")[2] in SMALLER_IS_BETTER else "maximise"
