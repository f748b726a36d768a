"""What teacher policies may ask about a task: its training rows, and networks that see some of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256

import numpy as np
import torch
from torch import Tensor

from selkd.data import Dataset, Part, TaskView
from selkd.data.augment import Augmentation
from selkd.data.cache import ArrayCache, Create
from selkd.data.evidence import teacher_logits
from selkd.data.rows import at_once
from selkd.data.samples import stratified
from selkd.files import fingerprint
from selkd.models.teachers import Teacher
from selkd.objectives.links import link
from selkd.training.meanings import Meanings

Answers = Callable[[Part, int], Tensor]
"""Logits [n, o] of a student after so many updates, over a part."""


@dataclass
class TaskSample:
    """A task as teacher policies see it; `passes` counts the rows shown to each teacher."""

    meanings: Meanings
    task: TaskView
    load: Callable[[str], Teacher]
    train_briefly: Answers
    prepare: Callable[[Sequence[str], int], None] = lambda names, rows: None
    passes: dict[str, int] = field(default_factory=dict)

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
        found = {name: self.meanings.costs(self.load(name)).between for name in names}
        largest = max(*(float(cost.max()) for cost in found.values()), 1e-12)
        ids, mode = self.task.ids, self.task.mode
        return {
            name: link(cost / largest, torch.ones_like(cost, dtype=torch.bool), ids, mode).cost
            for name, cost in found.items()
        }

    def shared(self, name: str) -> float:
        known = set(self.load(name).card.categories)
        return sum(category in known for category in self.task.names) / self.task.k

    def labels(self, rows: int) -> Tensor:
        return self.task.labels(self.shown(rows).labels)

    def shown(self, rows: int) -> Part:
        """The sample: the same for all teachers, and for all seeds of the run."""
        return stratified(self.rows, rows, self.meanings.config.data.seed)

    def ahead(self, names: Sequence[str], rows: int) -> None:
        self.prepare(names, rows)

    def logits(self, name: str, rows: int) -> Tensor:
        part, teacher = self.shown(rows), self.load(name)
        self.passes[name] = max(self.passes.get(name, 0), len(part))
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
        part, teacher = self.shown(rows), self.load(name)
        device = self.meanings.device
        self.passes[name] = self.passes.get(name, 0) + len(part)
        shown = torch.arange(len(part)).split(at_once(device))
        return torch.cat([teacher.features(part.pixels(i).to(device).float() / 255).double().cpu() for i in shown])

    def student(self, rows: int, steps: int) -> Tensor:
        part = self.shown(rows)
        key: Mapping[str, object] = {
            "evidence": "answers of a student that was trained briefly",
            "version": 1,
            "run": _briefly(self.meanings.config.model_dump(mode="json"), steps),
            "categories": list(self.task.names),
            "data": self.meanings.seen,
            "index": sha256(part.ids.cpu().numpy().astype("<i8").tobytes()).hexdigest(),
        }

        def make(create: Create) -> None:
            answers = self.train_briefly(part, steps)
            create("logits", tuple(answers.shape), "<f4")[:] = answers.float().cpu().numpy()

        cache = ArrayCache(self.meanings.workspace.evidence)
        return torch.tensor(cache.get(key, make, what="answers of a student that was trained briefly")["logits"])


def _briefly(config: dict[str, object], steps: int) -> str:
    """What decides such a student: not its name, nor who may teach it."""
    left_out = {"name", "experiment", "workers", "teacher", "objective", "semantics", "selection"}
    return fingerprint([{k: v for k, v in config.items() if k not in left_out}, steps])
