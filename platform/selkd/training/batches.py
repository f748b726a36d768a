"""From row numbers to the batches of a step: which rows, which view, which teacher outputs.

Everything is a function of (seed, step, row): the order of an epoch, the view of a row, its augmentation, its partner.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from selkd.data import Part, TaskView, draws
from selkd.data.augment import Augmentation, augment, mix, partners
from selkd.training.workers import Workers


@dataclass(frozen=True)
class Batch:
    """This worker's rows of one global batch."""

    images: Tensor  # [b, C, H, W] in [0, 1]
    ids: Tensor  # [b] row numbers in the source
    targets: Tensor  # [b, o]
    teacher: Tensor | None  # [b, K] logits
    size: int  # rows of the global batch
    first: int  # position of our first row in it
    step: int


@dataclass(frozen=True)
class Stored:
    """Teacher outputs computed before training."""

    logits: np.ndarray  # [V, N, K] by view and row of the whole training part
    seed: int  # of the views


class Batches:
    """The batches of a task's training rows."""

    def __init__(
        self,
        part: Part,
        task: TaskView,
        *,
        batch_size: int,
        seed: int,
        augmentation: Augmentation,
        fill: Tensor,
        device: torch.device,
        dtype: torch.dtype,
        workers: Workers,
        stored: Stored | None = None,
        online: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        kept = task.keeps(part.labels)
        self.positions = kept.nonzero().flatten()  # of the task's rows in the whole training part
        self.part = part
        self.labels = task.labels(part.labels[self.positions])
        self.outputs = task.outputs
        self.batch_size, self.seed = batch_size, seed
        self.augmentation, self.fill = augmentation, fill.to(device, dtype)
        self.device, self.dtype, self.workers = device, dtype, workers
        self.stored, self.online = stored, online

    def __len__(self) -> int:
        """Steps per epoch; the last batch may be short."""
        return math.ceil(len(self.positions) / self.batch_size)

    @property
    def counts(self) -> Tensor:
        """Training rows per output."""
        return torch.bincount(self.labels, minlength=self.outputs)

    def rows(self, step: int) -> Tensor:
        """The task rows of the global batch of `step`, in order."""
        epoch, index = divmod(step, len(self))
        order = draws.permutation(self.seed, epoch, len(self.positions), "order")
        return order[index * self.batch_size : (index + 1) * self.batch_size]

    def epoch(self, epoch: int, start: int, stop: int) -> Iterator[Batch]:
        """Batches of the steps from `start` to before `stop` of one epoch."""
        order = draws.permutation(self.seed, epoch, len(self.positions), "order")
        for index in range(start, stop):
            rows = order[index * self.batch_size : (index + 1) * self.batch_size]
            yield self._batch(rows, epoch, epoch * len(self) + index)

    def _batch(self, rows: Tensor, epoch: int, step: int) -> Batch:
        first = self.workers.offset(len(rows))
        own = self.workers.share(rows)
        images, ids, targets, views = self._load(own, epoch, step)
        if self.augmentation.mixes:
            order = partners(len(rows), seed=self.seed, step=step)
            other_images, _, other_targets, _ = self._load(self.workers.share(rows[order]), epoch, step)
            images, targets = mix(
                images, targets, other_images, other_targets, ids,
                seed=self.seed, step=step, settings=self.augmentation,
            )  # fmt: skip
        teacher = None
        if self.online is not None:
            teacher = self.online(images)
        elif self.stored is not None:
            found = self.stored.logits[views.numpy(), self.positions[own].numpy()]
            teacher = torch.from_numpy(found).to(self.device, non_blocking=True)
        return Batch(images, ids, targets, teacher, len(rows), first, step)

    def _load(self, rows: Tensor, epoch: int, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        positions = self.positions[rows]
        ids = self.part.ids[positions]
        pixels = self.part.pixels(positions).to(self.device, non_blocking=True)
        images = pixels.to(self.dtype) / 255
        targets = F.one_hot(self.labels[rows], self.outputs).to(self.device, self.dtype)
        views = torch.zeros_like(ids)
        if self.augmentation.random:
            if self.stored is None:
                seed, draw = self.seed, step
            else:
                views = draws.integers(self.seed, epoch, ids, "view", high=len(self.stored.logits)).flatten()
                seed, draw = self.stored.seed, views.to(self.device)
            images = augment(
                images, ids.to(self.device), seed=seed, step=draw, settings=self.augmentation, fill=self.fill
            )
        return images, ids.to(self.device), targets, views
