"""Studies in which no level is better, through the whole comparison: how often it says that one is. Goal: at most 5 %.

What happens to a real study happens here: settings are chosen on validation, levels are paired by seed and split,
families of contrasts are corrected, looks spend what they declared, and `selkd sweep --extend` goes on with what was
chosen until all is told or the last look is over. Only the students are made up. The last row is what the plan is for.
"""

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from selkd.comparison.asking import question_of
from selkd.comparison.compare import Comparison, answer
from selkd.comparison.records import Records, StudyInfo
from selkd.comparison.result import ALL
from selkd.errors import UserError
from selkd.extend import wanted

ALPHA, SIMULATIONS = 0.05, 500
NAME, BY = "null", "objective.name"
Family = Literal["over all groups", "within groups"]
"""Contrasts that are corrected together: each family is wrong in 5 % of studies at most."""


@dataclass(frozen=True)
class Space:
    """What a study varies, and when it looks."""

    levels: int = 3
    settings: int = 3
    groups: int = 1
    looks: tuple[int, ...] = (8, 12)
    spending: str = "pocock"
    baseline: bool = False

    @property
    def plan(self) -> dict[str, Any]:
        """The comparison that the study declares before it begins."""
        against = {"baseline": "level 0"} if self.baseline else {}
        return {"by": BY, "metric": "accuracy", "looks": self.looks, "spending": self.spending} | against


class Study:
    """All the students that a study could ever train, of which it trains some."""

    def __init__(self, space: Space, rng: np.random.Generator) -> None:
        """A student's luck is that of its seed, of its level and seed in every group, and its own."""
        self.space = space
        shape = (space.groups, space.levels, space.settings, space.looks[-1])
        shared = rng.normal(0, 0.02, shape[-1]) + rng.normal(0, 0.01, (1, shape[1], 1, shape[-1]))
        self.validation = 0.8 + shared + rng.normal(0, 0.02, shape)
        self.test = 0.8 + shared + rng.normal(0, 0.02, shape)

    def records(self, seeds: Mapping[int, int], *, declared: bool = True) -> Records:
        """What MLflow would tell once each candidate has so many seeds."""
        group, level, setting, seed = (axis.ravel() for axis in np.indices(self.test.shape))
        candidate = np.ravel_multi_index((group, level, setting), self.test.shape[:3])
        there = seed < np.array([seeds[number] for number in range(len(seeds))])[candidate]
        group, level, setting, seed, candidate = (one[there] for one in (group, level, setting, seed, candidate))
        index = pd.Index([f"r{number}" for number in np.flatnonzero(there)], name="run")
        ended = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(np.flatnonzero(there), unit="min")
        trials = {"study": NAME, "key": index, "name": NAME, "candidate": candidate, "role": "student",
                  "status": "finished", "seed": seed, "began": ended, "ended": ended, "categories": "three, five",
                  "link": index}  # fmt: skip
        config = {BY: [f"level {k}" for k in level], "objective.epsilon": 2.0**setting, "seed": seed, "data.seed": seed,
                  "data.source": "digits", "data.rows_per_category": 20 + 80 * group}  # fmt: skip
        scores = {"validation/accuracy": self.validation.ravel()[there], "test/accuracy": self.test.ravel()[there]}
        plan = self.space.plan if declared else None
        info = StudyInfo(NAME, None, "", "finished", {"validation/accuracy": "maximise"}, (), plan)
        told, chosen, scored = (pd.DataFrame(columns, index=index) for columns in (trials, config, scores))
        nobody = pd.DataFrame(columns=["study", "key", "run", "reason"], dtype=object)
        return Records(told, chosen, scored, pd.DataFrame(index=index), {NAME: info}, nobody)

    def first(self) -> dict[int, int]:
        """Of every candidate as many seeds as the first look asks for."""
        return dict.fromkeys(range(int(np.prod(self.test.shape[:3]))), self.space.looks[0])


def extended(study: Study) -> Comparison:
    """The last answer of a study that is extended until all is told or its looks are over."""
    seeds = study.first()
    while True:
        records = study.records(seeds)
        found = answer(records, question_of(records, None))
        assert not found.exploratory, found.verdict
        if all(one.better for one in found.contrasts):
            return found
        try:
            more = wanted(NAME, found, planned=True)
        except UserError:
            assert found.look == len(study.space.looks)
            return found
        seeds |= dict.fromkeys(more.candidates, more.seeds)


def through_all_looks(space: Space, rng: np.random.Generator) -> set[Family]:
    """The families in which something is told by the end."""
    return told([extended(Study(space, rng))])


def without_a_plan(space: Space, rng: np.random.Generator) -> set[Family]:
    """The families in which something is told at any of the looks by a comparison that knows of one look only."""
    study = Study(space, rng)
    each = (study.records(dict.fromkeys(study.first(), look), declared=False) for look in space.looks)
    return told(answer(records, question_of(records, BY)) for records in each)


def told(answers: Iterable[Comparison]) -> set[Family]:
    """The families in which any of the answers tells a difference."""
    found = [one.group for answer in answers for one in answer.contrasts if one.better is not None]
    return {"over all groups" if group == ALL else "within groups" for group in found}


Simulation = Callable[[np.random.Generator], set[Family]]
HELD: dict[str, Simulation] = {
    "3 levels, looks at 8 and 12": partial(through_all_looks, Space()),
    "3 levels against a baseline, looks at 10 and 20, O'Brien-Fleming": partial(
        through_all_looks, Space(looks=(10, 20), spending="obrien-fleming", baseline=True)
    ),
    "3 levels in 2 groups, looks at 8, 10 and 14": partial(through_all_looks, Space(groups=2, looks=(8, 10, 14))),
    "3 levels, one look at 8": partial(through_all_looks, Space(looks=(8,))),
}
BROKEN: dict[str, Simulation] = {
    "2 levels, 8 looks from 6 to 20 without a plan": partial(
        without_a_plan, Space(levels=2, looks=tuple(range(6, 21, 2)))
    ),
}


def rejections(simulation: Simulation, studies: int, seed: int = 0) -> dict[Family, int]:
    """In how many of so many studies each family tells something."""
    counts: dict[Family, int] = {"over all groups": 0, "within groups": 0}
    for number in range(studies):
        for family in simulation(np.random.default_rng([seed, number])):
            counts[family] += 1
    return counts


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=SIMULATIONS, help="studies for each row")
    count = parser.parse_args(argv).simulations
    print(f"{count} studies a row, level {ALPHA}; the interval is Wilson's, 95 %\n")
    print("| study | family | told | interval | |\n| --- | --- | ---: | ---: | --- |")
    for name, simulation in (HELD | BROKEN).items():
        for family, wrong in rejections(simulation, count).items():
            if family == "within groups" and "groups" not in name:
                continue
            found = stats.binomtest(wrong, count)
            low, high = found.proportion_ci(method="wilson")
            verdict = "" if low <= ALPHA else "above its level"
            print(f"| {name} | {family} | {found.statistic:.4f} | {low:.4f} to {high:.4f} | {verdict} |", flush=True)


if __name__ == "__main__":
    main()
