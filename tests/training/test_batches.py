"""Batches: every row once an epoch, the same whoever holds it; the teacher and the student see the same images."""

import dataclasses
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from selkd.data import Part, Task, TaskView
from selkd.data.augment import Augmentation, augment, partners
from selkd.data.cache import ArrayCache
from selkd.data.evidence import teacher_logits
from selkd.data.rows import ArrayRows, StreamedRows
from selkd.errors import UserError
from selkd.training.batches import Batch, Batches, Stored
from selkd.training.workers import Workers

ROWS, SIZE = 60, 6
CATEGORIES = ("a", "b", "c", "d")
IMAGES = np.random.default_rng(0).integers(0, 256, (ROWS, 1, SIZE, SIZE), np.uint8)
LABELS = torch.arange(ROWS) % len(CATEGORIES)
INDEX = torch.randperm(ROWS, generator=torch.Generator().manual_seed(0))[:47]
FILL = torch.tensor([0.4])
PLAIN = Augmentation()
RANDOM = Augmentation(crop=2, flip=True, erase=0.5)
MIXED = {
    "mixup": RANDOM.model_copy(update={"mixup": 0.8}),
    "cutmix": RANDOM.model_copy(update={"cutmix": 1.0}),
    "both": RANDOM.model_copy(update={"mixup": 0.8, "cutmix": 1.0}),
}
TASKS = {"closed": Task(["c", "a", "d"]).on(CATEGORIES), "open": Task(["c", "a"], "open").on(CATEGORIES)}

torch.set_num_threads(1)


def teacher(images: Tensor, ids: Tensor) -> Tensor:
    """Four logits that weigh all pixels, row by row: exact in any batch."""
    assert len(ids) == len(images)
    weights = torch.sin(torch.arange(4 * SIZE * SIZE, dtype=images.dtype)).view(4, SIZE * SIZE)
    return (images.flatten(1)[:, None] * weights).sum(2)


def batches(task: TaskView, augmentation: Augmentation = PLAIN, part: Part | None = None, **changed: Any) -> Batches:
    usual: dict[str, Any] = {
        "batch_size": 7, "seed": 3, "fill": FILL, "device": torch.device("cpu"), "dtype": torch.float32,
        "workers": Workers(),
    }  # fmt: skip
    part = part or Part(ArrayRows(IMAGES, LABELS), INDEX)
    return Batches(part, task, augmentation=augmentation, **{**usual, **changed})


def epoch(found: Batches, number: int = 0) -> list[Batch]:
    return list(found.epoch(number, 0, len(found)))


def same(one: Tensor | None, other: Tensor | None) -> bool:
    return one is other if one is None or other is None else torch.equal(one, other)


def equal(one: Batch, other: Batch) -> bool:
    return all(
        same(a, b) if isinstance(a, Tensor | None) else a == b
        for a, b in ((getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(Batch))
    )


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
@pytest.mark.parametrize("size", [1, 7, 47, 1000])
def test_an_epoch_visits_every_row_of_the_task_once_in_an_order_of_its_own(task: TaskView, size: int) -> None:
    found = batches(task, batch_size=size)
    orders = [torch.cat([batch.ids for batch in epoch(found, number)]) for number in (0, 1)]
    wanted = INDEX[task.keeps(LABELS[INDEX])]
    for order in orders:
        assert torch.equal(order.sort().values, wanted.sort().values)
    assert not torch.equal(*orders)
    assert torch.equal(found.counts, torch.bincount(task.labels(LABELS[wanted]), minlength=task.outputs))


@pytest.mark.parametrize("augmentation", [PLAIN, MIXED["mixup"]], ids=["plain", "mixup"])
def test_rows_of_a_step_are_those_of_its_batch_wherever_the_epoch_begins(augmentation: Augmentation) -> None:
    found = batches(TASKS["closed"], augmentation)
    whole = epoch(found, 2)
    assert [batch.step for batch in whole] == list(range(2 * len(found), 3 * len(found)))
    for batch in whole:
        assert torch.equal(batch.ids, INDEX[found.positions[found.rows(batch.step)]])
        assert (batch.size, batch.first) == (len(batch.ids), 0)
    assert all(map(equal, found.epoch(2, 3, len(found)), whole[3:]))


def test_plain_images_and_targets_are_those_of_the_rows() -> None:
    for batch in epoch(batches(TASKS["open"])):
        assert torch.equal(batch.images, torch.from_numpy(IMAGES[batch.ids.numpy()]).float() / 255)
        assert torch.equal(batch.targets.argmax(1), TASKS["open"].labels(LABELS[batch.ids]))
        assert torch.equal(batch.targets.sum(1), torch.ones(len(batch.ids)))


@pytest.mark.parametrize("augmentation", [RANDOM, *MIXED.values()], ids=["random", *MIXED])
@pytest.mark.parametrize("size", [2, 3, 9])
def test_shares_of_several_workers_join_to_the_global_batch(augmentation: Augmentation, size: int) -> None:
    whole = epoch(batches(TASKS["closed"], augmentation, online=teacher))
    shares = zip(
        *(epoch(batches(TASKS["closed"], augmentation, online=teacher, workers=Workers(r, size))) for r in range(size)),
        strict=True,
    )
    for batch, own in zip(whole, shares, strict=True):
        assert [share.first for share in own] == np.cumsum([0, *(len(share.ids) for share in own[:-1])]).tolist()
        assert {share.size for share in own} == {len(batch.ids)}
        for name in ("images", "ids", "targets", "teacher"):
            assert torch.equal(torch.cat([getattr(share, name) for share in own]), getattr(batch, name)), name


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("augmentation", [PLAIN, RANDOM], ids=["plain", "random"])
def test_stored_views_are_the_teachers_answers_to_the_very_images(
    tmp_path: Path, augmentation: Augmentation, size: int
) -> None:
    part = Part(ArrayRows(IMAGES, LABELS), INDEX)
    logits = teacher_logits(
        ArrayCache(tmp_path), teacher_fingerprint="teacher", logits_of=teacher, part=part, data_fingerprint="data",
        part_name="train", views=3, augmentation=augmentation, seed=11, fill=FILL, device="cpu", batch_size=10,
    )["logits"]  # fmt: skip
    seen: set[bytes] = set()
    for rank in range(size):
        found = batches(TASKS["open"], augmentation, stored=Stored(logits, 11), workers=Workers(rank, size))
        for number in range(4):
            for batch in epoch(found, number):
                assert batch.teacher is not None
                assert torch.equal(batch.teacher, teacher(batch.images, batch.ids))
                seen |= {image.numpy().tobytes() for image in batch.images}
    views = 3 if augmentation.random else 1
    assert len(INDEX) * (views - 1) < len(seen) <= len(INDEX) * views


def test_online_teacher_answers_the_mixed_images() -> None:
    for batch in epoch(batches(TASKS["open"], MIXED["both"], online=teacher)):
        assert batch.teacher is not None
        assert torch.equal(batch.teacher, teacher(batch.images, batch.ids))


def _drawn(ids: Tensor, step: int, settings: Augmentation) -> Tensor:
    images = torch.from_numpy(IMAGES[ids.numpy()]).float() / 255
    return augment(images, ids, seed=3, step=step, settings=settings, fill=FILL)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_mixed_targets_are_the_shares_that_the_images_have(kind: str) -> None:
    task, settings, shares = TASKS["open"], MIXED[kind], list[float]()
    for batch in epoch(batches(task, settings)):
        other = batch.ids[partners(len(batch.ids), seed=3, step=batch.step)]
        own_images, other_images = _drawn(batch.ids, batch.step, settings), _drawn(other, batch.step, settings)
        own, its = task.labels(LABELS[batch.ids]), task.labels(LABELS[other])
        for row in range(len(batch.ids)):
            if own[row] == its[row]:
                assert float(batch.targets[row, own[row]]) == pytest.approx(1)
                continue
            share = float(batch.targets[row, own[row]])
            assert float(batch.targets[row, its[row]]) == pytest.approx(1 - share, abs=1e-6)
            shares.append(share)
            if kind == "mixup":
                expected = share * own_images[row] + (1 - share) * other_images[row]
                torch.testing.assert_close(batch.images[row], expected)
            else:
                kept, pasted = (batch.images[row] == images[row] for images in (own_images, other_images))
                assert bool((kept | pasted).all())
                assert int((~kept).sum()) <= round((1 - share) * SIZE * SIZE) <= int(pasted.sum())
    assert min(shares) < 0.6
    assert max(shares) > 0.9


class TestStreamed:
    """Rows that are files: the same batches, decoded one ahead."""

    def test_batches_are_those_of_rows_in_memory(self) -> None:
        for augmentation in (PLAIN, MIXED["both"]):
            found = batches(TASKS["closed"], augmentation, streamed(decoded))
            kept = batches(TASKS["closed"], augmentation)
            assert all(map(equal, epoch(found, 1), epoch(kept, 1)))
        assert list(found.epoch(0, 2, 2)) == []

    def test_one_batch_ahead_is_decoded_and_no_more(self) -> None:
        asked: list[Path] = []

        def noted(file: Path, shape: tuple[int, int, int]) -> np.ndarray:
            asked.append(file)
            return decoded(file, shape)

        found = batches(TASKS["open"], PLAIN, streamed(noted), batch_size=5)
        loop = found.epoch(0, 0, len(found))
        for taken in range(1, 4):
            next(loop)
            until(lambda: not ahead())
            assert len(asked) == 5 * (taken + 1)

    def test_an_image_is_decoded_once_where_images_are_mixed(self) -> None:
        asked: list[Path] = []

        def noted(file: Path, shape: tuple[int, int, int]) -> np.ndarray:
            asked.append(file)
            return decoded(file, shape)

        epoch(batches(TASKS["open"], MIXED["mixup"], streamed(noted)))
        assert len(asked) == len(set(asked)) == len(INDEX)

    def test_an_error_names_its_file_when_its_batch_is_due(self) -> None:
        found = batches(TASKS["open"], PLAIN, streamed(decoded))
        spoiled = str(int(INDEX[found.positions[found.rows(2)[3]]]))

        def spoil(file: Path, shape: tuple[int, int, int]) -> np.ndarray:
            if file.name == spoiled:
                raise UserError(f"{file}: cannot be read as an image")
            return decoded(file, shape)

        seen = 0
        with pytest.raises(UserError, match=f"^{spoiled}: cannot be read"):
            for _ in batches(TASKS["open"], PLAIN, streamed(spoil)).epoch(0, 0, len(found)):
                seen += 1
        assert seen == 2
        until(lambda: not ahead())

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
    def test_no_thread_is_left_when_the_loop_is_left(self, error: type[BaseException]) -> None:
        loop = batches(TASKS["open"], PLAIN, streamed(slow)).epoch(0, 0, 6)  # held here, so nothing closes it

        def train() -> None:
            for _ in loop:
                raise error

        with pytest.raises(error):
            train()
        until(lambda: not ahead())


def decoded(file: Path, shape: tuple[int, int, int]) -> np.ndarray:
    return IMAGES[int(file.name)].reshape(shape)


def slow(file: Path, shape: tuple[int, int, int]) -> np.ndarray:
    time.sleep(0.01)
    return decoded(file, shape)


def streamed(decode: Callable[[Path, tuple[int, int, int]], np.ndarray]) -> Part:
    return Part(StreamedRows([Path(str(row)) for row in range(ROWS)], LABELS, (1, SIZE, SIZE), decode), INDEX)


def ahead() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ahead"]


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.001)
