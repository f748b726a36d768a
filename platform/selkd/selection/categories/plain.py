"""Category policies that read no teacher: the categories that are named, and the controls of every comparison."""

from typing import ClassVar

import numpy as np
from pydantic import Field

from selkd.errors import UserError, nearest
from selkd.selection.base import PolicySettings
from selkd.selection.categories.base import CategoryEvidence, CategoryPolicy, Choice, SizedPolicy, register
from selkd.selection.categories.optimise import highest
from selkd.selection.subsets import Feasible, Positive


@register
class Explicit(CategoryPolicy):
    """`task.categories` as it stands, in its order."""

    name: ClassVar[str] = "explicit"
    order_free: ClassVar[bool] = False

    def choose(self, evidence: CategoryEvidence, seed: int) -> Choice:
        return Choice(evidence.named)


@register
class FirstK(SizedPolicy):
    """The first categories in the data's order: the setting that is published for SelKD."""

    name: ClassVar[str] = "first-k"
    order_free: ClassVar[bool] = False

    def pick(self, evidence: CategoryEvidence, feasible: Feasible, seed: int) -> tuple[list[int], np.ndarray]:
        scores = np.arange(len(evidence.categories), 0, -1.0)
        return highest(feasible, scores), scores


@register
class Random(SizedPolicy):
    """A subset drawn uniformly from all allowed ones: another for every seed of the run."""

    name: ClassVar[str] = "random"

    def pick(self, evidence: CategoryEvidence, feasible: Feasible, seed: int) -> tuple[list[int], np.ndarray]:
        drawn = feasible.random(self.rng(seed))
        scores = np.array([float(name in drawn) for name in evidence.categories])
        return scores.nonzero()[0].tolist(), scores


class SuperclassSettings(PolicySettings):
    """Settings of `superclass`."""

    superclasses: Positive = Field(
        default=1, description="Number of whole superclasses.", json_schema_extra={"search": [1, 4]}
    )
    among: list[str] | None = Field(default=None, description="Superclasses to draw from; all when absent.")
    min_rows: Positive | None = Field(
        default=None, description="Training rows that every category of a drawn superclass has at least."
    )


@register
class Superclass(CategoryPolicy):
    """Whole superclasses, drawn at random: all members of each, whatever their number.

    One category of each superclass is another policy with `one_per_superclass`; superclasses that are known by name
    are written into `task.categories`.
    """

    name: ClassVar[str] = "superclass"
    Settings = SuperclassSettings
    settings: SuperclassSettings

    def choose(self, evidence: CategoryEvidence, seed: int) -> Choice:
        allowed = self._allowed(evidence)
        drawn = self.rng(seed).permutation(len(allowed))[: self.settings.superclasses]
        chosen = {member for i in drawn for member in evidence.superclasses[allowed[i]]}
        return Choice(
            tuple(name for name in evidence.categories if name in chosen),
            {name: float(name in chosen) for name in evidence.categories},
        )

    def _allowed(self, evidence: CategoryEvidence) -> list[str]:
        """The superclasses to draw from, by name."""
        known = sorted(evidence.superclasses)
        if not known:
            raise UserError("policy: superclass needs superclasses, and the data name none. Choose another policy.")
        for name in self.settings.among or ():
            if name not in known:
                raise UserError(f"among: the superclass {name!r} is unknown. {nearest(name, known)}")
        rows = dict(zip(evidence.categories, evidence.rows, strict=True))
        pool = [name for name in known if self.settings.among is None or name in self.settings.among]
        least = self.settings.min_rows or 0
        allowed = [name for name in pool if all(rows[member] >= least for member in evidence.superclasses[name])]
        if self.settings.superclasses > len(allowed):
            raise UserError(
                f"superclasses: {self.settings.superclasses} are asked, and {len(allowed)} of {len(known)} are "
                f"allowed. Ask for at most {len(allowed)}, or loosen among or min_rows."
            )
        return allowed
