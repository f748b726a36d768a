"""What teacher policies may ask about a task: its training rows, and networks that see some of them."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from selkd.data import Dataset, Part, TaskView
from selkd.data.augment import Augmentation
from selkd.data.cache import ArrayCache, Create
from selkd.data.evidence import teacher_logits
from selkd.data.samples import row_features, stratified
from selkd.files import fingerprint
from selkd.objectives.links import link
from selkd.selection.teachers.base import Asked, of_each
from selkd.training.meanings import Known, Meanings

Answers = Callable[[Part, int], Tensor]
"""Logits [n, o] of a student after so many updates, over a part."""
Prepare = Callable[[Sequence[str], Asked, int], Mapping[str, int]]
"""Hears what will be asked of whom, over how many rows of a category, and may have it ready; the rows shown for it."""


@dataclass
class TaskSample:
    """A task as teacher policies see it, and what was spent on asking."""

    meanings: Meanings
    task: TaskView
    known: Known
    train_briefly: Answers
    prepare: Prepare = lambda names, what, rows: {}
    skipped: dict[str, str] = field(default_factory=dict)
    updates: int = 0  # of briefly trained students
    _elsewhere: Counter[str] = field(default_factory=Counter[str])
    _costs: dict[str, Tensor] = field(default_factory=dict[str, Tensor])

    @property
    def passes(self) -> Counter[str]:
        """Rows shown so far to each teacher, whatever for. What the store knew was not shown again."""
        return self._elsewhere + Counter({name: teacher.shown for name, teacher in self.known.items()})

    @property
    def dataset(self) -> Dataset:
        return self.meanings.dataset

    @cached_property
    def rows(self) -> Part:
        """The task's training rows."""
        return self.task.part(self.meanings.train)

    def prior(self) -> Tensor:
        counts = torch.bincount(self.task.labels(self.rows.labels), minlength=self.task.outputs).double()
        return counts / counts.sum()

    def costs(self, names: Sequence[str]) -> dict[str, Tensor]:
        """One unit for all: the largest cost of any of these teachers is 1."""
        self.ahead([name for name in names if name not in self._costs], "costs", 0)
        found = of_each(names, self._own_costs, self.skipped)
        largest = max(*(float(cost.max()) for cost in found.values()), 1e-12)
        ids, mode = self.task.ids, self.task.mode
        return {
            name: link(cost / largest, torch.ones_like(cost, dtype=torch.bool), ids, mode).cost
            for name, cost in found.items()
        }

    def _own_costs(self, name: str) -> Tensor:
        """In the unit of their source."""
        if name not in self._costs:
            self._costs[name] = self.meanings.costs(self.known[name]).between
        return self._costs[name]

    def shared(self, name: str) -> float:
        known = set(self.known[name].card.categories)
        return sum(category in known for category in self.task.names) / self.task.k

    def labels(self, rows: int) -> Tensor:
        return self.task.labels(self.shown(rows).labels)

    def shown(self, rows: int) -> Part:
        """The sample: the same for all teachers, and for all seeds of the run."""
        return stratified(self.rows, rows, self.meanings.config.data.seed)

    def ahead(self, names: Sequence[str], what: Asked, rows: int) -> None:
        wanted = [name for name in names if name not in self.skipped]
        if wanted and (what != "costs" or self.meanings.shows_rows):
            self._elsewhere.update(self.prepare(wanted, what, rows))

    def logits(self, name: str, rows: int) -> Tensor:
        part, teacher = self.shown(rows), self.known[name]
        found = teacher_logits(
            ArrayCache(self.meanings.workspace.evidence),
            teacher_fingerprint=teacher.fingerprint,
            logits_of=lambda images, ids: teacher.logits(images),
            part=part,
            data_fingerprint=self.meanings.seen,
            part_name="train",
            views=1,
            augmentation=Augmentation(),
            seed=0,
            fill=torch.tensor(self.dataset.mean),
            device=self.meanings.device,
        )
        return torch.from_numpy(np.array(found["logits"][0])).double()

    def features(self, name: str, rows: int) -> Tensor:
        part, teacher = self.shown(rows), self.known[name]
        found = row_features(
            ArrayCache(self.meanings.workspace.evidence),
            network=teacher.fingerprint,
            features_of=teacher.features,
            part=part,
            data_fingerprint=self.meanings.seen,
            device=self.meanings.device,
        )
        return torch.from_numpy(np.array(found["features"])).double()

    def student(self, rows: int, steps: int) -> Tensor:
        part = self.shown(rows)
        key: Mapping[str, object] = {
            "evidence": "answers of a student that was trained briefly",
            "version": 1,
            "run": _briefly(self.meanings.config.model_dump(mode="json"), steps),
            "categories": list(self.task.names),
            "data": self.meanings.seen,
            "index": part.ids_sha256,
        }

        def make(create: Create) -> None:
            answers = self.train_briefly(part, steps)
            self.updates += steps
            create("logits", tuple(answers.shape), "<f4")[:] = answers.float().cpu().numpy()

        cache = ArrayCache(self.meanings.workspace.evidence)
        return torch.tensor(cache.get(key, make, what="answers of a student that was trained briefly")["logits"])


def _briefly(config: dict[str, object], steps: int) -> str:
    """What decides such a student: not its name, nor who may teach it."""
    left_out = {"name", "experiment", "workers", "teacher", "objective", "semantics", "selection"}
    return fingerprint([{k: v for k, v in config.items() if k not in left_out}, steps])
