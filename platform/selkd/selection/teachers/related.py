"""The transport cost between a teacher and a task ranks teachers, the lower the better, in a funnel of three levels.

Lu et al. 2022 (arXiv 2204.11526) rank by the cost that their loss pays; how that is made cheap is ours. Level 0 asks
nobody, level 1 shows rows to teachers, level 2 also trains one student briefly, for all teachers together.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from selkd.selection.teachers import scores
from selkd.selection.teachers.base import (
    RankingPolicy,
    Sample,
    SampleSettings,
    TeacherEvidence,
    of_each,
    ranked,
    register,
)


class RelatedSettings(SampleSettings):
    """Settings of `transport`."""

    level: Literal[0, 1, 2] = Field(
        default=1,
        description="0: categories alone. 1: one forward pass over the rows. 2: one student for all teachers, too.",
        json_schema_extra={"search": {"choice": [0, 1, 2]}},
    )
    first: int = Field(default=50, ge=1, description="Teachers that reach level 1.")
    second: int = Field(default=5, ge=1, description="Teachers that reach level 2.")
    steps: int = Field(default=200, ge=1, description="Level 2: updates of the student, by cross-entropy.")
    epsilon: float = Field(default=0.05, gt=0, description="Levels 0 and 2: entropic weight, the largest cost being 1.")
    spread: float | None = Field(
        default=None,
        gt=0,
        description="How fast weights of several teachers fall with their cost, exp(-cost / spread); the standard "
        "deviation of the costs when absent.",
    )

    @model_validator(mode="after")
    def _enough_come_through(self) -> "RelatedSettings":
        for level, key in ((1, "first"), (2, "second")):
            if self.level >= level and self.number > (limit := getattr(self, key)):
                raise ValueError(
                    f"number: {self.number} teachers are asked for, and {key}: {limit} come so far. Raise {key}."
                )
        return self


@dataclass(frozen=True)
class Assessment:
    """Costs by level and teacher; a level knows only the teachers that reached it."""

    levels: tuple[Mapping[str, float], ...]
    skipped: Mapping[str, str]  # teachers that could not be asked, and why

    @property
    def order(self) -> list[str]:
        """All teachers that could be asked, those that came farther first, then the cheaper ones, then by name."""
        found: list[str] = []
        for costs in reversed(self.levels):
            cheap = ranked({name: -cost for name, cost in costs.items()})
            found += [name for name in cheap if name not in found and name not in self.skipped]
        return found


def assess(sample: Sample, names: Sequence[str], settings: RelatedSettings) -> Assessment:
    """The funnel: all teachers at level 0, the best `first` at level 1, of these the best `second` at level 2."""
    costs, prior = sample.costs(names), sample.prior()
    levels = [{name: scores.prior_cost(costs[name], prior, settings.epsilon) for name in costs}]
    if settings.level >= 1:
        kept = _cheapest(levels[0], settings.first)
        sample.ahead(kept, "logits", settings.rows)
        labels = sample.labels(settings.rows)
        p = of_each(kept, lambda name: sample.logits(name, settings.rows).double().softmax(1), sample.skipped)
        levels.append({name: scores.label_cost(p[name], labels, costs[name]) for name in p})
        if settings.level == 2:
            q = sample.student(settings.rows, settings.steps).double().softmax(1)
            kept = _cheapest(levels[1], settings.second)
            levels.append({name: scores.student_cost(p[name], q, costs[name], settings.epsilon) for name in kept})
    return Assessment(tuple(levels), dict(sample.skipped))


def _cheapest(costs: Mapping[str, float], number: int) -> list[str]:
    return ranked({name: -cost for name, cost in costs.items()})[:number]


@register
class Related(RankingPolicy):
    """The teachers from which transport to the task costs least, under `semantics`."""

    name: ClassVar[str] = "transport"
    Settings = RelatedSettings
    settings: RelatedSettings

    def scores(self, evidence: TeacherEvidence, names: Sequence[str], seed: int) -> dict[str, float]:
        last = assess(evidence.sample, names, self.settings).levels[-1]
        return {name: -cost for name, cost in last.items()}

    def shares(self, best: Mapping[str, float]) -> dict[str, float]:
        """exp(-cost / spread), summing to one."""
        spread = self.settings.spread or statistics.pstdev(best.values())
        if spread == 0:
            return super().shares(best)
        top = max(best.values())
        weights = {name: math.exp((score - top) / spread) for name, score in best.items()}
        return {name: weight / sum(weights.values()) for name, weight in weights.items()}
