"""The teachers of a run that know other categories than its data, and what ties them to the task.

Shapes: V views, N rows, K1 categories of one teacher, K of the data, o outputs of the student.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from selkd.config import RunConfig
from selkd.data import TaskView
from selkd.data.cache import Arrays
from selkd.errors import UserError
from selkd.files import fingerprint
from selkd.models.teachers import Teacher
from selkd.objectives.links import Link, link, mapped
from selkd.selection.teachers import TEACHERS, Chosen, TeacherEvidence
from selkd.selection.teachers.base import RankingSettings, of_sound
from selkd.training.meanings import Known, Meanings

log = logging.getLogger(__name__)
CARRIED = 0.05  # entropic weight with which answers are carried to the task to be scored


@dataclass(frozen=True)
class Faculty:
    """Teachers, the most important first, and their links to the student's outputs."""

    teachers: tuple[Teacher, ...]
    links: tuple[Link, ...]
    chosen: Chosen  # what decided, by name, and who could not be asked

    @classmethod
    def of(cls, shares: Mapping[Teacher, float], chosen: Chosen, meanings: Meanings, task: TaskView) -> "Faculty":
        """Costs are divided by the largest of all these teachers: one unit for a run, not for all runs."""
        costs = {teacher: meanings.costs(teacher) for teacher in shares}
        largest = max(float(found.between.max()) for found in costs.values())
        if largest <= 0:
            raise UserError(
                "semantics: every category of the teachers costs nothing to say for any of the data, so nothing "
                "can be learnt from them. Choose another semantics.source."
            )
        links = []
        for teacher, share in shares.items():
            if len(teacher.card.categories) == 1:
                log.warning("teacher %s has one category: it gives the same answer to every row", teacher.card.name)
            found = costs[teacher].over(largest)
            same = [[a == b for b in task.categories] for a in teacher.card.categories]
            links.append(
                link(found.between, torch.tensor(same), task.ids, task.mode,
                     theirs=found.theirs, ours=found.ours, share=share)
            )  # fmt: skip
        return cls(tuple(shares), tuple(links), chosen)

    @property
    def fingerprint(self) -> str:
        """By content; one teacher's is its own."""
        found = [teacher.fingerprint for teacher in self.teachers]
        return found[0] if len(found) == 1 else fingerprint([found, [one.share for one in self.links]])

    @property
    def semantics(self) -> str:
        """Of the costs, whatever source they came from."""
        return fingerprint([one.cost.double().mul(1e4).round().tolist() for one in self.links])

    def report(self) -> dict[str, Any]:
        """Who teaches, how much each counts, and what decided."""
        shares = {one.card.name: found.share for one, found in zip(self.teachers, self.links, strict=True)}
        skipped = {"skipped": dict(self.chosen.skipped)} if self.chosen.skipped else {}
        return {"chosen": shares, "scores": dict(self.chosen.scores), **skipped}

    def answers(self, logits: Tensor) -> Tensor:
        """The teachers' mean answer in the task's categories: log-probabilities [N, o] of logits [N, all K1]."""
        own = logits.split([len(one.cost) for one in self.links], 1)
        found = [
            one.share * mapped(scores.softmax(1), one.cost.to(scores), CARRIED)
            for scores, one in zip(own, self.links, strict=True)
        ]
        return torch.stack(found).sum(0).log()


def choose_teachers(config: RunConfig, evidence: TeacherEvidence, known: Known) -> Chosen:
    """As the teacher policy says; where it ranks and its choice turns out to be broken, as it says of the others."""
    settings, broken = config.selection.teachers, dict[str, str]()
    chosen = TEACHERS[settings.policy](settings).choose(evidence, config.seed)
    if isinstance(settings, RankingSettings):
        of_sound(chosen.shares, lambda name: known[name].classifier, broken)
    if not broken:
        return chosen
    cards = {name: about for name, about in evidence.cards.items() if name not in broken}
    return choose_teachers(config, replace(evidence, cards=cards, broken={**evidence.broken, **broken}), known)


class SideBySide(Mapping[str, Any]):
    """Stored logits of several teachers, read as one array [V, N, all K1]."""

    def __init__(self, found: Sequence[Arrays]) -> None:
        self.found = found

    @property
    def fingerprint(self) -> str:
        return fingerprint([arrays.fingerprint for arrays in self.found])

    def __getitem__(self, name: str) -> "Columns":
        return Columns([arrays[name] for arrays in self.found])

    def __iter__(self) -> Iterator[str]:
        return iter(self.found[0])

    def __len__(self) -> int:
        return len(self.found[0])


class Columns:
    """Arrays that differ in their last dimension, joined there when they are read."""

    def __init__(self, arrays: Sequence[np.ndarray]) -> None:
        self.arrays = arrays

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: Any) -> np.ndarray:
        return np.concatenate([array[index] for array in self.arrays], -1)
