"""What a category policy is, what it may read, and the registry that finds it by name. K categories of the data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from selkd.selection.base import PolicySettings


@dataclass(frozen=True)
class CategoryEvidence:
    """What is known of the categories from the training rows alone."""

    categories: tuple[str, ...]  # [K]
    superclasses: Mapping[str, tuple[str, ...]]
    rows: tuple[int, ...]  # [K] training rows
    named: tuple[str, ...]  # the subset that task.categories names


class CategoryPolicy:
    """Chooses the categories of a task."""

    name: ClassVar[str]
    Settings: ClassVar[type[PolicySettings]] = PolicySettings
    needs_teacher: ClassVar[bool] = False

    def __init__(self, settings: PolicySettings) -> None:
        self.settings = settings

    def choose(self, evidence: CategoryEvidence, seed: int) -> tuple[str, ...]:
        """The subset; draws are keyed by `seed` and the policy's name."""
        raise NotImplementedError


Registered = TypeVar("Registered", bound=type[CategoryPolicy])

CATEGORIES: dict[str, type[CategoryPolicy]] = {}


def register(cls: Registered) -> Registered:
    """Make a category policy known by its name."""
    assert cls.name not in CATEGORIES, f"two category policies are called {cls.name}"
    CATEGORIES[cls.name] = cls
    return cls
