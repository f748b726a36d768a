"""What a category policy is, what it may read, and the registry that finds it by name. K categories of the data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field

from selkd.data import draws
from selkd.errors import UserError
from selkd.registry import Registry
from selkd.selection.base import PolicySettings
from selkd.selection.subsets import Constraints, Feasible, Positive


@dataclass(frozen=True)
class CategoryEvidence:
    """What is known of the categories from the training rows alone."""

    categories: tuple[str, ...]  # [K]
    superclasses: Mapping[str, tuple[str, ...]]
    rows: tuple[int, ...]  # [K] training rows
    named: tuple[str, ...]  # the subset that task.categories names
    ask_teacher: Callable[[], np.ndarray] | None = None  # gives `answers`

    @cached_property
    def answers(self) -> np.ndarray:
        """The teacher's mean probabilities [K, K] (true, answered) over the training rows of each category."""
        if self.ask_teacher is None:
            raise UserError("teacher: this policy reads a teacher's answers. Name one, or choose another policy.")
        return self.ask_teacher()

    def by_name(self) -> "CategoryEvidence":
        """The same with categories in alphabetical order, so that their order in the data decides nothing."""
        order = sorted(range(len(self.categories)), key=self.categories.__getitem__)
        return replace(
            self,
            categories=tuple(self.categories[i] for i in order),
            superclasses={name: self.superclasses[name] for name in sorted(self.superclasses)},
            rows=tuple(self.rows[i] for i in order),
            ask_teacher=self.ask_teacher and (lambda: self.answers[np.ix_(order, order)]),
        )


@dataclass(frozen=True)
class Choice:
    """A category subset, and what decided."""

    categories: tuple[str, ...]
    scores: Mapping[str, float] = field(default_factory=dict)  # what each category adds to the rest of the subset


class CategoryPolicy:
    """Chooses the categories of a task."""

    name: ClassVar[str]
    Settings: ClassVar[type[PolicySettings]] = PolicySettings
    order_free: ClassVar[bool] = True  # the order of the data's categories decides nothing

    def __init__(self, settings: PolicySettings) -> None:
        self.settings = settings

    def choose(self, evidence: CategoryEvidence, seed: int) -> Choice:
        """The subset, in the data's order; draws are keyed by `seed` and the policy's name."""
        raise NotImplementedError

    def rng(self, seed: int) -> np.random.Generator:
        """Random numbers of this policy alone."""
        words = draws.words(seed, 0, torch.zeros(1), f"selection/categories/{self.name}", 4)
        return np.random.default_rng(words.flatten().tolist())


class SizedSettings(PolicySettings, Constraints):
    """Settings of policies that choose so many categories."""

    size: Positive = Field(default=5, description="Number of categories.", json_schema_extra={"search": [2, 8]})

    @property
    def bounds(self) -> tuple[int, int]:
        return self.size, self.size


class TaughtSettings(SizedSettings):
    """Settings of policies that read the teacher's answers."""

    @property
    def needs_teacher(self) -> bool:
        return True


class SizedPolicy(CategoryPolicy):
    """Chooses `size` categories under the constraints."""

    Settings = SizedSettings
    settings: SizedSettings

    def choose(self, evidence: CategoryEvidence, seed: int) -> Choice:
        seen = evidence.by_name() if self.order_free else evidence
        feasible = self.settings.on(seen.categories, seen.superclasses, seen.rows)
        chosen, scores = self.pick(seen, feasible, seed)
        by_name = dict(zip(seen.categories, scores.tolist(), strict=True))
        return Choice(
            tuple(name for name in evidence.categories if name in feasible.named(chosen)),
            {name: by_name[name] for name in evidence.categories},
        )

    def pick(self, evidence: CategoryEvidence, feasible: Feasible, seed: int) -> tuple[list[int], np.ndarray]:
        """The positions of the chosen categories, and what every category adds to the rest of them [K]."""
        raise NotImplementedError


CATEGORIES: Registry[CategoryPolicy] = Registry("category policy", "selection.categories.policy")
register = CATEGORIES.register
