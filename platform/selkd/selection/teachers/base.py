"""What a teacher policy is, what it may read, and the registry that finds it by name.

Shapes: n rows of a sample, K1 categories of a teacher, o outputs of the student, d features.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, Protocol, TypeVar

from pydantic import Field
from torch import Tensor

from selkd.errors import Busy, CannotWrite, UserError, nearest
from selkd.registry import Registry
from selkd.selection.base import PolicySettings

T = TypeVar("T")
Asked = Literal["costs", "logits", "features"]


class TeacherPolicySettings(PolicySettings):
    """Settings of a teacher policy; the bare class is that of one without any."""

    @property
    def chooses(self) -> bool:
        """Whether the policy says which teachers, instead of the key `teacher`."""
        return True


@dataclass(frozen=True)
class Chosen:
    """Teachers by name, how much each counts (summing to one), and what decided."""

    shares: Mapping[str, float]
    scores: Mapping[str, float] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)  # teachers that could not be read or asked, and why


@dataclass(frozen=True)
class About:
    """What a teacher's card says."""

    categories: tuple[str, ...]
    accuracy: float  # on validation rows of its own data


class Sample(Protocol):
    """What may be asked about the task: its training rows alone, and networks over so many rows of each category."""

    @property
    def skipped(self) -> dict[str, str]: ...  # teachers that could not be asked, and why

    def prior(self) -> Tensor: ...  # [o] shares of the training rows

    def costs(
        self, names: Sequence[str]
    ) -> dict[str, Tensor]: ...  # [K1, o] of each that can be asked, the largest being 1

    def shared(self, name: str) -> float: ...  # share of the task's categories that the teacher knows by name

    def labels(self, rows: int) -> Tensor: ...  # [n]

    def logits(self, name: str, rows: int) -> Tensor: ...  # [n, K1]: one forward pass a row

    def features(self, name: str, rows: int) -> Tensor: ...  # [n, d]: one forward pass a row

    def student(self, rows: int, steps: int) -> Tensor: ...  # [n, o] logits of one student, trained briefly

    def ahead(self, names: Sequence[str], what: Asked, rows: int) -> None: ...  # this will be asked of these teachers


@dataclass(frozen=True)
class TeacherEvidence:
    """What is known of the teachers of a repository, from their cards and the training rows of a task alone."""

    named: str | None  # the teacher that the key `teacher` names
    cards: Mapping[str, About]  # of all teachers that can be read, by name
    known: Sample | None = None
    broken: Mapping[str, str] = field(default_factory=dict)  # teachers that cannot be read, and why

    @property
    def sample(self) -> Sample:
        assert self.known is not None
        return self.known

    @property
    def skipped(self) -> dict[str, str]:
        """Teachers that are of no use, and why."""
        return {**self.broken, **(self.known.skipped if self.known else {})}


def of_each(names: Iterable[str], ask: Callable[[str], T], skipped: dict[str, str]) -> dict[str, T]:
    """What is found of each teacher. One that cannot be asked is noted in `skipped`; somebody must be left."""
    names = list(names)
    found = of_sound(names, ask, skipped)
    if not found:
        raise UserError(f"no teacher can be asked: {'; '.join(dict.fromkeys(skipped[name] for name in names))}")
    return found


def of_sound(names: Iterable[str], ask: Callable[[str], T], skipped: dict[str, str]) -> dict[str, T]:
    """The same where nobody need be left."""
    found: dict[str, T] = {}
    for name in names:
        try:
            if name not in skipped:
                found[name] = ask(name)
        except (CannotWrite, Busy):
            raise
        except UserError as error:
            skipped[name] = str(error)
    return found


def finite(name: str, score: str, value: float) -> float:
    """A score that is no number says nothing of a teacher."""
    if not math.isfinite(value):
        raise UserError(f"teacher {name!r}: its {score} is {value}. Look at its answers, or leave it out.")
    return value


class TeacherPolicy:
    """Chooses teachers."""

    name: ClassVar[str]
    Settings: ClassVar[type[TeacherPolicySettings]] = TeacherPolicySettings

    def __init__(self, settings: TeacherPolicySettings) -> None:
        self.settings = settings

    def choose(self, evidence: TeacherEvidence, seed: int) -> Chosen:
        """The teachers, the most important first; draws are keyed by `seed` and the policy's name."""
        raise NotImplementedError


class RankingSettings(TeacherPolicySettings):
    """Settings of policies that rank the teachers of the repository."""

    number: int = Field(
        default=1, ge=1, description="How many of the best are learnt from.", json_schema_extra={"search": [1, 4]}
    )
    among: Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        default=None, description="The teachers that are ranked; all of the repository when absent."
    )


class SampleSettings(RankingSettings):
    """Settings of policies that show training rows to teachers."""

    rows: int = Field(default=50, ge=1, description="Training rows of each category that are shown, at most.")


class RankingPolicy(TeacherPolicy):
    """Gives every teacher a score, the higher the better, and chooses the best; all of them count alike."""

    Settings = RankingSettings

    def scores(self, evidence: TeacherEvidence, names: Sequence[str], seed: int) -> dict[str, float]:
        """Of the teachers `names` that can be asked, or of those that a funnel let through to its end."""
        raise NotImplementedError

    def choose(self, evidence: TeacherEvidence, seed: int) -> Chosen:
        assert isinstance(self.settings, RankingSettings)
        names = candidates(evidence, self.settings.among)
        scores = self.scores(evidence, names, seed)
        best = ranked(scores)[: self.settings.number]
        return Chosen(self.shares({name: scores[name] for name in best}), scores, evidence.skipped)

    def shares(self, best: Mapping[str, float]) -> dict[str, float]:
        """How much each of the best counts, given their scores."""
        return dict.fromkeys(best, 1 / len(best))


def candidates(evidence: TeacherEvidence, among: Sequence[str] | None) -> list[str]:
    """The teachers to rank, by name."""
    if not evidence.cards and not evidence.broken:
        raise UserError("selection.teachers: the repository holds no teacher. `selkd teachers add` makes one.")
    for name in among or ():
        if name not in evidence.cards and name not in evidence.broken:
            raise UserError(f"selection.teachers.among: no teacher {name!r}. {nearest(name, evidence.cards)}")
    found = sorted(name for name in among or evidence.cards if name in evidence.cards)
    if not found:
        raise UserError(f"selection.teachers: no teacher can be used: {'; '.join(evidence.broken.values())}")
    return found


def ranked(scores: Mapping[str, float]) -> list[str]:
    """The best first; equal ones by name."""
    return sorted(scores, key=lambda name: (-scores[name], name))


TEACHERS: Registry[TeacherPolicy] = Registry("teacher policy", "selection.teachers.policy")
register = TEACHERS.register
