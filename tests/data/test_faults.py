"""Faults on purpose: which rows have them, what is wrong there, and that everything else is left alone."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import special
from torch import Tensor

from selkd.data import Dataset, Part, Splits, split
from selkd.data.faults import LOGIT_STEP, Faults, faulty, misled, noise, spoiled, wrong_labels
from selkd.data.rows import ArrayRows, StreamedRows
from selkd.errors import UserError

Make = Callable[..., Dataset]
KINDS = ("labels", "images", "teacher")
IDS = torch.arange(20_000)


def made(dataset: Make, seed: int = 3, **faults: float) -> tuple[Dataset, Splits, Splits]:
    """A data set, its sound parts and its spoiled ones."""
    data = dataset([60, 80, 70])
    parts = split(data, seed=0, outer=0.2)
    return data, parts, spoiled(parts, data, Faults(**faults), seed)


def pixels(part: Part) -> Tensor:
    return part.pixels(torch.arange(len(part)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_a_share_of_the_rows_has_the_fault(kind: str, share: float) -> None:
    spread = math.sqrt(share * (1 - share) / len(IDS))
    assert abs(float(faulty(IDS, kind, share, 0).double().mean()) - share) < 4 * spread


def test_which_rows_are_faulty_is_a_function_of_seed_row_and_kind() -> None:
    whole = faulty(IDS, "labels", 0.3, 5)
    order = torch.randperm(len(IDS), generator=torch.Generator().manual_seed(0))[:999]
    assert torch.equal(faulty(IDS[order], "labels", 0.3, 5), whole[order])
    for other in (faulty(IDS, "labels", 0.3, 6), faulty(IDS, "images", 0.3, 5)):
        assert abs(float((whole & other).double().mean()) - 0.09) < 0.01  # as often as chance has it


def test_a_larger_share_adds_rows() -> None:
    few, more = (faulty(IDS, "images", share, 1) for share in (0.1, 0.4))
    assert bool((more | ~few).all())
    assert not bool(faulty(IDS, "images", 0.0, 1).any())


def test_wrong_labels_are_every_other_category_equally_often() -> None:
    labels = IDS % 5
    wrong = wrong_labels(labels, IDS, 5, 0)
    found = torch.bincount(labels * 5 + wrong, minlength=25).view(5, 5)
    assert found.diagonal().sum() == 0
    others = found[~torch.eye(5, dtype=torch.bool)] / (len(IDS) / 20)
    assert float((others - 1).abs().max()) < 0.2


def test_noise_is_normal_around_one_half_and_clipped() -> None:
    found = noise(IDS[:2000], (1, 8, 8), 0).double().flatten() / 255
    for value in (0.0, 0.2, 0.5, 0.8, 254 / 255):
        expected = float(special.ndtr(value + 0.5 / 255 - 0.5))
        assert abs(float((found <= value + 1e-9).double().mean()) - expected) < 4 * math.sqrt(0.25 / len(found))
    assert float(found.max()) == 1


def test_noise_of_a_row_is_its_own_and_does_not_depend_on_the_batch() -> None:
    whole = noise(IDS[:50], (3, 4, 5), 2)
    assert whole.shape == (50, 3, 4, 5)
    assert torch.equal(noise(torch.tensor([7, 31]), (3, 4, 5), 2), whole[[7, 31]])
    assert len(whole.flatten(1).unique(dim=0)) == 50
    assert not torch.equal(noise(IDS[:50], (3, 4, 5), 3), whole)


def test_without_faults_the_parts_are_the_same_objects(dataset: Make) -> None:
    _, parts, same = made(dataset, teacher=0.5)
    assert same is parts


def test_faulty_training_rows_change_and_nothing_else_does(dataset: Make) -> None:
    data, parts, found = made(dataset, labels=0.3, images=0.2)
    ids = parts.train.ids
    assert torch.equal(found.train.ids, ids)
    relabelled, noisy = faulty(ids, "labels", 0.3, 3), faulty(ids, "images", 0.2, 3)
    assert 0 < relabelled.sum() < len(ids)
    assert torch.equal(found.train.labels != parts.train.labels, relabelled)
    changed = (pixels(found.train) != pixels(parts.train)).flatten(1).any(1)
    assert torch.equal(changed, noisy)
    for name in ("validation", "test", "outer"):
        assert getattr(found, name) is getattr(parts, name)
    assert torch.equal(data.train.labels, split(data, seed=0).train.rows.labels)


def test_faults_of_a_kind_do_not_depend_on_the_others_or_on_how_many_rows_train(dataset: Make) -> None:
    data, parts, both = made(dataset, labels=0.3, images=0.2)
    labels, images = (spoiled(parts, data, Faults(**{kind: share}), 3) for kind, share in
                      (("labels", 0.3), ("images", 0.2)))  # fmt: skip
    assert torch.equal(both.train.labels, labels.train.labels)
    assert torch.equal(pixels(both.train), pixels(images.train))
    assert torch.equal(labels.train.rows.pixels(parts.train.ids), pixels(parts.train))
    fewer = spoiled(split(data, seed=0, outer=0.2, rows_per_category=9), data, Faults(labels=0.3, images=0.2), 3)
    places = torch.isin(both.train.ids, fewer.train.ids)
    assert torch.equal(both.train.labels[places], fewer.train.labels)
    assert torch.equal(pixels(both.train)[places], pixels(fewer.train))


@pytest.mark.parametrize("streamed", [False, True])
def test_spoiled_rows_are_rows_of_their_kind(dataset: Make, streamed: bool) -> None:
    data, parts, _ = made(dataset)
    train = data.train
    assert isinstance(train, ArrayRows)
    if streamed:

        def decode(file: Path, _: tuple[int, int, int]) -> np.ndarray:
            return train.images[int(file.name)]

        rows = StreamedRows([Path(str(row)) for row in range(len(train))], train.labels, train.shape, decode)
        parts = Splits(Part(rows, parts.train.index), parts.validation, parts.test, parts.outer)
    found = spoiled(parts, data, Faults(images=0.5, labels=0.1), 3).train.rows
    assert (len(found), found.shape, found.streamed) == (len(train), train.shape, streamed)
    moved = found.to("cpu")
    index = torch.tensor([5, 1, 5, 100])
    assert torch.equal(moved.pixels(index), found.pixels(index))
    assert torch.equal(moved.labels, found.labels)
    assert moved.streamed == streamed
    assert found.pixels(index[:0]).shape == (0, *train.shape)


def test_a_wrong_teacher_is_sure_and_wrong_in_every_task_and_right_about_the_others() -> None:
    ids, truth = IDS[:500], IDS % 6
    logits = torch.randn(500, 6, generator=torch.Generator().manual_seed(0))
    found = misled(logits, ids, truth, 0.4, 9)
    wrong = faulty(ids, "teacher", 0.4, 9)
    assert torch.equal(found[~wrong], logits[~wrong])
    assert torch.equal(found[wrong].sort(1).values, LOGIT_STEP * torch.arange(6.0).expand(int(wrong.sum()), 6))
    assert torch.equal(found[wrong].argmin(1), truth[ids[wrong]])
    for other in range(1, 6):  # a task of two categories, one of which is the row's
        pair = torch.stack([truth[ids], (truth[ids] + other) % 6], 1)
        probability = found.gather(1, pair).softmax(1)[:, 0]
        assert float(probability[wrong].max()) < 1e-4
    assert len(found[wrong].unique(dim=0)) > 100


def test_a_wrong_teacher_s_answer_is_a_function_of_the_row() -> None:
    truth = IDS % 6
    for dtype in (torch.float32, torch.float64):
        whole = misled(torch.zeros(100, 6, dtype=dtype), IDS[:100], truth, 0.5, 1)
        assert whole.dtype == dtype
        picked = torch.tensor([71, 3, 71])
        assert torch.equal(misled(torch.zeros(3, 6, dtype=dtype), picked, truth, 0.5, 1), whole[picked])
    logits = torch.randn(4, 6)
    assert misled(logits, IDS[:4], truth, 0.0, 1) is logits


def test_evidence_of_faulty_rows_has_a_name_of_its_own() -> None:
    said = [
        Faults(labels=0.5).fingerprint("data", 0),
        Faults(images=0.5).fingerprint("data", 0),
        Faults(images=0.5).fingerprint("data", 1),
        Faults(teacher=0.5).fingerprint("data", 0),
        Faults(teacher=0.5).fingerprint("other", 0),
    ]
    assert said[0] == Faults().fingerprint("data", 7) == "data"
    assert len(set(said)) == len(said)


@pytest.mark.parametrize("kind", ["labels", "teacher"])
def test_nobody_is_wrong_about_a_single_category(dataset: Make, kind: str) -> None:
    data = dataset([40])
    with pytest.raises(UserError, match="generated has a single category"):
        spoiled(split(data, seed=0), data, Faults(**{kind: 0.1}), 0)
    assert spoiled(split(data, seed=0), data, Faults(images=0.5), 0).train.labels.unique().tolist() == [0]
