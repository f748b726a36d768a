"""Policies that score every row and keep one end, or the middle, of the ranking."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from selkd.errors import UserError
from selkd.selection.samples.base import RowEvidence, SamplePolicy, SubsetSettings, register
from selkd.selection.samples.plain import luck, uniform
from selkd.selection.samples.ranking import Zone, balanced, doubt, el2n, entropy, kept, one_of_each, preferred

Score = Literal["el2n", "margin", "entropy", "random"]


class RankedSettings(SubsetSettings):
    """Settings of policies that keep the rows of highest, lowest or middle score."""

    zone: Zone = Field(
        default="hard",
        description="Which rows are kept: those of high (`hard`), low (`easy`) or middle score.",
        json_schema_extra={"search": ["hard", "easy", "middle"]},
    )
    balanced: bool = Field(default=False, description="Whether every category keeps the same share of its rows.")
    one_per_category: bool = Field(default=False, description="Whether every category keeps a row at least.")


class EL2NSettings(RankedSettings):
    """Settings of `el2n`."""

    rounds: int = Field(
        default=3,
        ge=1,
        description="First epochs, on all rows alike, over which the student's scores are averaged.",
        json_schema_extra={"search": [1, 10]},
    )


class TeacherRankedSettings(RankedSettings):
    """Settings of `margin` and `entropy`."""

    @property
    def needs_teacher(self) -> bool:
        return True


class PruningSettings(EL2NSettings):
    """Settings of `pruning`."""

    score: Score = Field(
        default="random",
        description="What ranks the rows: `random`, the teacher's `margin` or `entropy`, or the student's `el2n`.",
        json_schema_extra={"search": ["el2n", "margin", "entropy", "random"]},
    )
    alpha: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Joint weight: the truth term is weighed by 1 - alpha and the teacher term by alpha. Acts where "
        "the objective has a teacher term; absent: the objective's own weights.",
        json_schema_extra={"search": [0.0, 1.0]},
    )

    @property
    def needs_teacher(self) -> bool:
        return self.score in ("margin", "entropy")


class Ranked(SamplePolicy):
    """Keeps the first rows of a ranking by score, ties in the order of the data."""

    settings: RankedSettings

    @property
    def score(self) -> str:
        return self.name

    def rates(self, evidence: RowEvidence, budget: int, seed: int, round: int) -> Tensor:
        if self.score == "el2n" and self._rounds(evidence) > round:
            return uniform(evidence, budget)
        order = preferred(self._scores(evidence, seed), self.settings.zone)
        if self.settings.balanced:
            order = balanced(order, evidence.labels)
        if self.settings.one_per_category:
            if budget < (present := int((evidence.counts > 0).sum())):
                raise UserError(
                    f"selection.samples.one_per_category: an epoch of {budget} rows has no room for one of each of "
                    f"{present} categories. Raise selection.samples.keep."
                )
            order = one_of_each(order, evidence.labels)
        return kept(order[:budget], len(evidence))

    def asks(self, evidence: RowEvidence, seed: int, round: int) -> Tensor | None:
        wanted = self.score == "el2n" and round < self._rounds(evidence)
        return torch.arange(len(evidence)) if wanted else None

    def learn(self, evidence: RowEvidence, rows: Tensor, logits: Tensor, round: int) -> None:
        found = el2n(logits.double().softmax(1), evidence.labels)
        self.state["sum"] = self.state.get("sum", torch.zeros_like(found)) + found

    def _scores(self, evidence: RowEvidence, seed: int) -> Tensor:
        match self.score:
            case "el2n":
                return self.state["sum"]
            case "margin":
                return doubt(evidence.teacher.exp(), evidence.labels)
            case "entropy":
                return entropy(evidence.teacher.exp())
        return luck(evidence, seed)

    def _rounds(self, evidence: RowEvidence) -> int:
        assert isinstance(self.settings, EL2NSettings)
        if self.settings.rounds >= evidence.rounds:
            raise UserError(
                f"selection.samples.rounds: {self.settings.rounds} leaves none of the run's {evidence.rounds} epochs "
                "to the rows chosen. Lower it, or train longer."
            )
        return self.settings.rounds


@register
class EL2N(Ranked):
    """Rows where this student, early on, is far from the label: ||p - onehot||_2, averaged (Paul et al. 2021).

    The first epochs use all rows alike, so that scoring is part of the training it informs. Wrong labels rank high.
    """

    name: ClassVar[str] = "el2n"
    Settings = EL2NSettings


@register
class Margin(Ranked):
    """Rows where the teacher's probability of the true category exceeds the best other one by little."""

    name: ClassVar[str] = "margin"
    Settings = TeacherRankedSettings


@register
class Entropy(Ranked):
    """Rows where the teacher's answer has a high entropy."""

    name: ClassVar[str] = "entropy"
    Settings = TeacherRankedSettings


@register
class Pruning(Ranked):
    """Data pruning with distillation: a score, a share and a joint weight of the teacher (Ben-Baruch et al. 2024).

    The smaller the share, the larger the best `alpha`; `random` keeps pace with every score once there is a teacher.
    """

    name: ClassVar[str] = "pruning"
    Settings = PruningSettings

    @property
    def score(self) -> str:
        assert isinstance(self.settings, PruningSettings)
        return self.settings.score

    def weigh(self, terms: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        assert isinstance(self.settings, PruningSettings)
        alpha = self.settings.alpha
        if alpha is None or "teacher" not in terms:
            return {}
        shares = {"truth": 1 - alpha, "teacher": alpha}
        return {name: torch.full_like(term, shares[name]) for name, term in terms.items() if name in shares}
