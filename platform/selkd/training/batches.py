"""From row numbers to the batches of a step: which rows, which view, which teacher outputs.

Everything is a function of (seed, step, row): the order of an epoch, the view of a row, its augmentation, its partner.
"""

import math
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from selkd.data import Part, TaskView, draws
from selkd.data.augment import Augmentation, augment, mix, partners
from selkd.data.evidence import Answers
from selkd.training.faculty import Columns
from selkd.training.rounds import Rounds
from selkd.training.workers import Workers

K = TypeVar("K")
V = TypeVar("V")


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
    begun: Tensor | None = None  # [b, o] logits of the student as it began, where a weighting asks for them


@dataclass(frozen=True)
class Stored:
    """Teacher outputs computed before training."""

    logits: np.ndarray | Columns  # [V, N, K] by view and row of the whole training part
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
        rounds: Rounds | None = None,
        stored: Stored | None = None,
        online: Answers | None = None,
        begun: Answers | None = None,
    ) -> None:
        kept = task.keeps(part.labels)
        self.positions = kept.nonzero().flatten()  # of the task's rows in the whole training part
        self.part = part
        self.labels = task.labels(part.labels[self.positions])
        self.outputs = task.outputs
        self.batch_size, self.seed = batch_size, seed
        self.augmentation, self.fill = augmentation, fill.to(device, dtype)
        self.device, self.dtype, self.workers = device, dtype, workers
        self.stored, self.online, self.begun = stored, online, begun
        self.rounds = rounds
        self.per_epoch = len(self.positions) if rounds is None else rounds.budget  # rows

    def __len__(self) -> int:
        """Steps per epoch; the last batch may be short."""
        return math.ceil(self.per_epoch / self.batch_size)

    def size(self, step: int) -> int:
        """Rows of the global batch of `step`."""
        return min(self.batch_size, self.per_epoch - step % len(self) * self.batch_size)

    @property
    def counts(self) -> Tensor:
        """Training rows per output; where a policy chooses rows, those expected in the first epoch."""
        if self.rounds is not None:
            return self.rounds.expected()
        return torch.bincount(self.labels, minlength=self.outputs)

    def rows(self, step: int) -> Tensor:
        """The task rows of the global batch of `step`, in order."""
        epoch, index = divmod(step, len(self))
        return self._order(epoch)[index * self.batch_size : (index + 1) * self.batch_size]

    def epoch(self, epoch: int, start: int, stop: int) -> Iterator[Batch]:
        """Batches of the steps from `start` to before `stop` of one epoch; rows that are files are decoded ahead."""
        order = self._order(epoch)

        def load(index: int) -> tuple[_Share, Tensor]:
            rows = order[index * self.batch_size : (index + 1) * self.batch_size]
            share = self._share(rows, epoch * len(self) + index)
            return share, self.part.pixels(self.positions[share.rows])

        for share, pixels in (ahead if self.part.rows.streamed else map)(load, range(start, stop)):
            yield self._batch(share, pixels, epoch)

    def _order(self, epoch: int) -> Tensor:
        """The task rows of an epoch in the order of training."""
        if self.rounds is not None:
            return self.rounds.rows(epoch)
        return draws.permutation(self.seed, epoch, len(self.positions), "order")

    def _share(self, rows: Tensor, step: int) -> "_Share":
        own, first = self.workers.share(rows), self.workers.offset(len(rows))
        if not self.augmentation.mixes:
            return _Share(step, len(rows), first, own, None)
        order = partners(len(rows), seed=self.seed, step=step)
        pairs = torch.stack([own, self.workers.share(rows[order])])
        needed, places = pairs.unique(return_inverse=True)
        return _Share(step, len(rows), first, needed, places)

    def _batch(self, share: "_Share", pixels: Tensor, epoch: int) -> Batch:
        positions = self.positions[share.rows]
        ids = self.part.ids[positions]
        views = self._views(ids, epoch)
        images = self._augmented(pixels.to(self.device, non_blocking=True), ids, views, share.step)
        targets = F.one_hot(self.labels[share.rows], self.outputs).to(self.device, self.dtype)
        ids = ids.to(self.device)
        if share.pairs is not None:
            own, other = share.pairs.to(self.device)
            ids = ids[own]
            images, targets = mix(
                images[own], targets[own], images[other], targets[other], ids,
                seed=self.seed, step=share.step, settings=self.augmentation,
            )  # fmt: skip
        teacher = None
        if self.online is not None:
            teacher = self.online(images, ids)
        elif self.stored is not None:
            found = self.stored.logits[views.numpy(), positions.numpy()]
            teacher = torch.from_numpy(found).to(self.device, non_blocking=True)
        begun = None if self.begun is None else self.begun(images, ids)
        return Batch(images, ids, targets, teacher, share.size, share.first, share.step, begun)

    def _views(self, ids: Tensor, epoch: int) -> Tensor:
        """The stored view of each row; the only one where nothing is random."""
        if self.stored is None or not self.augmentation.random:
            return torch.zeros_like(ids)
        return draws.integers(self.seed, epoch, ids, "view", high=len(self.stored.logits)).flatten()

    def _augmented(self, pixels: Tensor, ids: Tensor, views: Tensor, step: int) -> Tensor:
        images = pixels.to(self.dtype) / 255
        seed, draw = (self.seed, step) if self.stored is None else (self.stored.seed, views.to(self.device))
        return augment(images, ids.to(self.device), seed=seed, step=draw, settings=self.augmentation, fill=self.fill)


@dataclass(frozen=True)
class _Share:
    """What one worker needs of a step."""

    step: int
    size: int  # rows of the global batch
    first: int  # position of our first row in it
    rows: Tensor  # task rows whose images are needed, each once
    pairs: Tensor | None  # [2, b] our rows and those they are mixed with, as places in `rows`


def ahead(load: Callable[[K], V], keys: Iterable[K]) -> Iterator[V]:
    """What `load` gives for every key, in order; the next is loaded in a thread while one is used.

    A thread lives for one key, so none is left behind, however the loop ends.
    """
    pending: Future[V] | None = None
    try:
        for key in keys:
            if pending is None:
                pending = _started(load, key)
                continue
            ready = pending.result()
            pending = _started(load, key)
            yield ready
        if pending is not None:
            yield pending.result()
    finally:
        if pending is not None:
            wait([pending])


def _started(load: Callable[[K], V], key: K) -> "Future[V]":
    loading: Future[V] = Future()

    def run() -> None:
        try:
            loading.set_result(load(key))
        except BaseException as error:
            loading.set_exception(error)

    threading.Thread(target=run, name="ahead").start()
    return loading
