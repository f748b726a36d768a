"""Distillation across label sets: teachers whose categories are not the student's (Lu et al. 2022, arXiv 2204.11526).

Of the paper only the abstract was available; the forms below follow it and are ours where it is silent. The columns of
the teacher's logits are those of all teachers, side by side; every row is a problem of its own.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from selkd.objectives.base import Context, Objective, TeacherSettings, View, register
from selkd.objectives.kd import kl
from selkd.objectives.links import Link, mapped, probabilities
from selkd.transport import transport_distance

log = logging.getLogger(__name__)

Answers = list[tuple[Tensor, Link]]
"""Scores [b, K1] of each teacher, the most important first, and what ties them to the outputs."""


class CrossSettings(TeacherSettings):
    """Settings of objectives whose teachers may know other categories."""

    teacher_temperature: float = Field(
        default=2.0, gt=0, description="Softens the teachers' answers.", json_schema_extra={"search": [1.0, 8.0]}
    )
    student_temperature: float = Field(
        default=1.0, gt=0, description="Softens the student's answers.", json_schema_extra={"search": [1.0, 8.0]}
    )


class EntropicSettings(CrossSettings):
    """Settings of objectives with an entropic weight."""

    epsilon: float = Field(
        default=0.05,
        gt=0,
        description="Entropic weight, where the largest cost is 1: how far a teacher's category is spread.",
        json_schema_extra={"search": [0.01, 0.5]},
    )


class Cross(Objective):
    """An objective of teachers with categories of their own: a weighed sum over teachers."""

    crosses: ClassVar[bool] = True
    Settings = CrossSettings

    def __init__(self, settings: TeacherSettings, context: Context) -> None:
        super().__init__(settings, context)
        for index, found in enumerate(context.links):
            for name in ("cost", "same", "theirs", "ours"):
                self.register_buffer(f"{name}_{index}", getattr(found, name), persistent=False)

    @property
    def omitted(self) -> Mapping[str, str]:
        found = {"zero at match": "student and teacher answer over different label sets"}
        if self.context.mode == "closed":
            found["unselected"] = "every category of a teacher says something about the task"
        return found

    def teacher_term(self, view: View) -> Tensor:
        scores = self.teacher_scores(view)
        student = view.student.to(scores.dtype)
        own = scores.detach().split([len(found.cost) for found in self.context.links], 1)
        heard = self.heard(list(zip(own, self._links(student), strict=True)), view)
        if not len(student):
            return 0 * student.sum(1)  # a worker without rows in this batch
        terms = [found.share * self.distance(teacher, student, found) for teacher, found in heard]
        return torch.stack(terms).sum(0)

    def heard(self, teachers: Answers, view: View) -> Answers:
        """What of each teacher's scores is listened to. All workers take part, also those without rows."""
        return teachers

    def distance(self, teacher: Tensor, student: Tensor, found: Link) -> Tensor:
        """From one teacher's scores [b, K1] to the student's [b, o]: a loss a row."""
        raise NotImplementedError

    def _links(self, like: Tensor) -> Iterator[Link]:
        """The links on the device and in the precision of `like`."""
        for index, given in enumerate(self.context.links):
            cost, same, theirs, ours = (getattr(self, f"{name}_{index}") for name in ("cost", "same", "theirs", "ours"))
            yield Link(
                cost.to(like.dtype),
                same,
                None if theirs is None else theirs.to(like.dtype),
                None if ours is None else ours.to(like.dtype),
                given.share,
            )


class ReuseSettings(EntropicSettings):
    """Settings of `transport`."""

    kind: Literal["sharp", "regularised", "debiased"] = Field(
        default="sharp",
        description="<P, M>; with the entropy of the plan; or less what p and q cost themselves.",
        json_schema_extra={"search": ["sharp", "regularised", "debiased"]},
    )
    likeliest: int = Field(
        default=100,
        gt=0,
        description="Of a teacher with more categories, how many it is heard on: those likeliest in each batch.",
    )
    tolerance: float = Field(default=1e-6, gt=0, description="Relative marginal error at which a plan is accepted.")
    max_iterations: int = Field(
        default=1000, gt=0, description="Iterations after which a plan is taken as it is, with a warning."
    )


@register
class Reuse(Cross):
    """The transport distance from a teacher's answer to the student's, under the cost between their categories.

    W(p, q) = <P*, M>, with P* = argmin { <P, M> - eps H(P) : P 1 = p, P^T 1 = q }.
    """

    name: ClassVar[str] = "transport"
    Settings = ReuseSettings
    settings: ReuseSettings

    def __init__(self, settings: ReuseSettings, context: Context) -> None:
        super().__init__(settings, context)
        self.told = False
        known = all(found.theirs is not None and found.ours is not None for found in context.links)
        if settings.kind == "debiased" and not known:
            raise ValueError(
                "objective.kind: debiased needs the costs within each list of categories, and the table of "
                "semantics.source 'matrix' lacks them. Add them, or use sharp or regularised."
            )

    @property
    def omitted(self) -> Mapping[str, str]:
        if self.settings.kind != "regularised":
            return super().omitted
        return {**super().omitted, "not below zero": "the entropy of the plan is subtracted"}

    def distance(self, teacher: Tensor, student: Tensor, found: Link) -> Tensor:
        settings = self.settings
        return transport_distance(
            probabilities(teacher, settings.teacher_temperature),
            probabilities(student, settings.student_temperature),
            found.cost,
            settings.epsilon,
            settings.kind,
            within=(found.theirs, found.ours) if found.theirs is not None and found.ours is not None else None,
            tolerance=settings.tolerance,
            max_iterations=settings.max_iterations,
        )

    def heard(self, teachers: Answers, view: View) -> Answers:
        """Of very many categories those that all rows of the batch together find likeliest."""
        heard: Answers = []
        lost: dict[int, Tensor] = {}
        for place, (scores, found) in enumerate(teachers):
            if len(found.cost) <= self.settings.likeliest:
                heard.append((scores, found))
            else:
                narrow, lost[place] = self._narrowed(scores, found, view)
                heard.append(narrow)
        if lost and not self.told and view.first == 0:
            self.told = True
            most = max(lost, key=lambda place: float(lost[place]))
            log.warning(
                "teachers that know more than %d categories are heard on the likeliest of each batch: teacher %d of %d "
                "loses most, in the first batch %.2g of what it says of its %d. Raise objective.likeliest to hear more",
                self.settings.likeliest, most + 1, len(teachers), float(lost[most]), len(teachers[most][1].cost),
            )  # fmt: skip
        return heard

    def _narrowed(self, scores: Tensor, found: Link, view: View) -> tuple[tuple[Tensor, Link], Tensor]:
        """The same over the likeliest categories alone, and the share of probability that the others have."""
        mean = view.gather(probabilities(scores, self.settings.teacher_temperature)).mean(0)
        kept = mean.topk(self.settings.likeliest).indices.sort().values
        within = None if found.theirs is None else found.theirs[kept][:, kept]
        narrow = replace(found, cost=found.cost[kept], same=found.same[kept], theirs=within)
        return (scores[:, kept], narrow), 1 - mean[kept].sum()


@register
class Mapped(Cross):
    """KL from the teacher's answer, carried to the student's categories, to the student's: the cheap control."""

    name: ClassVar[str] = "mapped"
    Settings = EntropicSettings
    settings: EntropicSettings

    def distance(self, teacher: Tensor, student: Tensor, found: Link) -> Tensor:
        p = probabilities(teacher, self.settings.teacher_temperature)
        log_q = F.log_softmax(student / self.settings.student_temperature, dim=1)
        return kl(mapped(p, found.cost, self.settings.epsilon).log(), log_q)


class SharedSettings(TeacherSettings):
    """Settings of `shared-kd`."""

    temperature: float = Field(
        default=4.0, gt=0, description="Softens both distributions.", json_schema_extra={"search": [1.0, 10.0]}
    )


@register
class SharedKD(Cross):
    """tau^2 KL over the categories that teacher and student share by name, both renormalised there: the control.

    Of a teacher that shares none or one, nothing is learnt.
    """

    name: ClassVar[str] = "shared-kd"
    Settings = SharedSettings
    settings: SharedSettings

    def distance(self, teacher: Tensor, student: Tensor, found: Link) -> Tensor:
        tau, rows = self.settings.temperature, found.same.any(1)
        columns = found.same.any(0)
        if not columns.any():
            return 0 * student.sum(1)
        log_q = (student[:, columns] / tau).log_softmax(1)
        kept = (teacher[:, rows] / tau).softmax(1)
        return tau**2 * kl((kept @ found.same[rows][:, columns].to(kept.dtype)).log(), log_q)
