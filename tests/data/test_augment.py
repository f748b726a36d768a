"""Batched augmentation equals a slow image-by-image reference, bit for bit, and depends on (seed, step, row) alone."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy import stats
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import functional as TF

from selkd.data import draws
from selkd.data.augment import Augmentation, augment, mix, partners

torch.set_num_threads(1)

FILL = torch.tensor([0.25, 0.5, 0.75])
ALL = Augmentation(crop=4, flip=True, erase=0.5)
GEOMETRIES: list[dict[str, Any]] = [
    {"crop": 4},
    {"flip": True},
    {"erase": 0.5},
    {"crop": 3, "flip": True, "erase": 1.0},
]
IMPLAUSIBLE = 1e-4


def images_and_ids(count: int, channels: int = 3, height: int = 12, width: int = 12) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(count)
    images = torch.rand(count, channels, height, width, generator=generator)
    return images, torch.randperm(10_000, generator=generator)[:count]


@pytest.mark.parametrize("settings", GEOMETRIES, ids=str)
@pytest.mark.parametrize("size", [(12, 12), (9, 17), (32, 32), (1, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_batch_equals_torchvision_applied_image_by_image(
    settings: dict[str, Any], size: tuple[int, int], dtype: torch.dtype
) -> None:
    images, ids = images_and_ids(24, 3, *size)
    images, chosen = images.to(dtype), Augmentation(**settings)
    together = augment(images, ids, seed=5, step=9, settings=chosen, fill=FILL)
    for image, row, result in zip(images, ids, together, strict=True):
        assert torch.equal(result, _one_by_one(image, int(row), 5, 9, chosen))


def test_one_channel_is_erased_by_its_own_fill() -> None:
    images, ids = torch.ones(64, 1, 8, 8), torch.arange(64)
    found = augment(images, ids, seed=0, step=0, settings=Augmentation(erase=1), fill=torch.tensor([0.125]))
    assert set(found.unique().tolist()) == {0.125, 1.0}


def test_a_row_does_not_depend_on_its_batch() -> None:
    images, ids = images_and_ids(33)
    steps = torch.arange(33) % 4
    together = augment(images, ids, seed=1, step=steps, settings=ALL, fill=FILL)
    order = torch.randperm(33, generator=torch.Generator().manual_seed(0))
    shuffled = augment(images[order], ids[order], seed=1, step=steps[order], settings=ALL, fill=FILL)
    assert torch.equal(shuffled, together[order])
    for i in range(33):
        row = slice(i, i + 1)
        alone = augment(images[row], ids[row], seed=1, step=int(steps[i]), settings=ALL, fill=FILL)
        assert torch.equal(alone[0], together[i])


def test_seed_step_and_row_each_change_the_result() -> None:
    images = images_and_ids(1)[0].expand(64, -1, -1, -1)
    ids = torch.arange(64)
    base = augment(images, ids, seed=1, step=1, settings=ALL, fill=FILL)
    for seed, step, rows in ((2, 1, ids), (1, 2, ids), (1, 1, ids + 64)):
        other = augment(images, rows, seed=seed, step=step, settings=ALL, fill=FILL)
        assert int((other != base).flatten(1).any(1).sum()) > 56


def test_an_empty_batch_stays_empty() -> None:
    images, ids = images_and_ids(4)
    settings = Augmentation(crop=2, flip=True, erase=1, mixup=0.5, cutmix=0.5)
    none = augment(images[:0], ids[:0], seed=0, step=ids[:0], settings=settings, fill=FILL)
    assert none.shape == (0, 3, 12, 12)
    for step in range(8):
        targets = torch.zeros(0, 7)
        mixed = mix(none, targets, none, targets, ids[:0], seed=0, step=step, settings=settings)
        assert [tuple(found.shape) for found in mixed] == [(0, 3, 12, 12), (0, 7)]


def test_without_augmentation_images_are_unchanged() -> None:
    images, ids = images_and_ids(4)
    off = Augmentation()
    assert not off.random
    assert not off.mixes
    assert torch.equal(augment(images, ids, seed=0, step=0, settings=off, fill=FILL), images)
    targets = torch.eye(4)
    mixed = mix(images, targets, images.flip(0), targets.flip(0), ids, seed=0, step=0, settings=off)
    assert torch.equal(mixed[0], images)
    assert torch.equal(mixed[1], targets)


def test_inputs_are_left_as_they_were() -> None:
    images, ids = images_and_ids(8)
    before = images.clone()
    augment(images, ids, seed=0, step=0, settings=ALL, fill=FILL)
    mix(images, torch.eye(8), images, torch.eye(8), ids, seed=0, step=0, settings=Augmentation(cutmix=1))
    assert torch.equal(images, before)


def test_every_window_and_mirroring_is_equally_likely() -> None:
    count = 6000
    images = torch.arange(1.0, 17.0).view(1, 1, 4, 4).expand(count, -1, -1, -1)
    found = augment(
        images, torch.arange(count), seed=0, step=0, settings=Augmentation(crop=1, flip=True), fill=FILL[:1]
    )
    _, counts = found.flatten(1).unique(dim=0, return_counts=True)
    assert len(counts) == 3 * 3 * 2
    assert stats.chisquare(counts.numpy()).pvalue > IMPLAUSIBLE


def test_erased_areas_and_chance_are_those_of_torchvision() -> None:
    count = 1500
    images = torch.ones(count, 1, 32, 32)
    ours = augment(images, torch.arange(count), seed=3, step=0, settings=Augmentation(erase=1), fill=torch.zeros(1))
    torch.manual_seed(0)
    eraser = transforms.RandomErasing(p=1, scale=(0.02, 0.33), ratio=(0.3, 3.3))
    theirs = torch.stack([eraser(image) for image in images])
    for seen in (lambda x: x.flatten(1).sum(1), lambda x: x.amin(3).sum((1, 2)), lambda x: x[:, 0, 5, 20]):
        assert _plausible(seen(ours), seen(theirs))
    third = augment(images, torch.arange(count), seed=3, step=0, settings=Augmentation(erase=0.3), fill=torch.zeros(1))
    hit = int((third == 0).flatten(1).any(1).sum())
    assert stats.binomtest(hit, count, 0.3).pvalue > IMPLAUSIBLE


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_mixup_blends_images_and_targets_by_the_share_of_the_row(dtype: torch.dtype) -> None:
    (images, targets, others, other_targets), ids = _pairs(16, dtype)
    found, soft = mix(images, targets, others, other_targets, ids, seed=2, step=3, settings=Augmentation(mixup=0.4))
    for i in range(16):
        share = draws.beta(2, 3, ids[i : i + 1], "mixup", alpha=0.4).to(dtype)[0, 0].numpy()
        assert np.array_equal(found[i].numpy(), share * images[i].numpy() + (1 - share) * others[i].numpy())
        assert np.array_equal(soft[i].numpy(), share * targets[i].numpy() + (1 - share) * other_targets[i].numpy())


@pytest.mark.parametrize("size", [(12, 12), (7, 10), (1, 1)])
def test_cutmix_targets_hold_the_exact_share_of_the_pixels(size: tuple[int, int]) -> None:
    ids = torch.arange(40)
    targets, other_targets = torch.eye(2).repeat(20, 1), torch.eye(2).flip(0).repeat(20, 1)
    images, others = torch.zeros(40, 3, *size), torch.ones(40, 3, *size)
    found, soft = mix(images, targets, others, other_targets, ids, seed=2, step=3, settings=Augmentation(cutmix=1))
    for i in range(40):
        assert np.array_equal(found[i].numpy(), _cutmix_one(images[i], others[i], i, step=3).numpy())
        kept = 1 - np.float32(found[i, 0].sum()) / np.float32(size[0] * size[1])
        assert np.array_equal(soft[i].numpy(), kept * targets[i].numpy() + (1 - kept) * other_targets[i].numpy())
    assert size == (1, 1) or 0 < float(found.mean()) < 1


def test_cutmix_areas_are_those_of_torchvision() -> None:
    from torchvision.transforms import v2

    count = 800
    zeros, ones = torch.zeros(count, 1, 16, 16), torch.ones(count, 1, 16, 16)
    hot = torch.eye(2)[torch.zeros(count, dtype=torch.int64)]
    ours, _ = mix(zeros, hot, ones, hot, torch.arange(count), seed=0, step=0, settings=Augmentation(cutmix=1.0))
    torch.manual_seed(0)
    pair, labels = torch.cat((ones[:1], zeros[:1])), torch.tensor([0, 1])
    theirs = torch.stack([v2.CutMix(num_classes=2)(pair, labels)[0][1] for _ in range(count)])
    assert _plausible(ours.flatten(1).sum(1), theirs.flatten(1).sum(1))


@pytest.mark.parametrize("settings", [Augmentation(mixup=0.4), Augmentation(cutmix=1), Augmentation(mixup=1, cutmix=1)])
def test_mixing_a_row_does_not_depend_on_its_batch(settings: Augmentation) -> None:
    arrays, ids = _pairs(17, torch.float32)
    for step in range(4):
        together = mix(*arrays, ids, seed=0, step=step, settings=settings)
        for i in range(17):
            row = slice(i, i + 1)
            images, targets, others, other_targets = (array[row] for array in arrays)
            alone = mix(images, targets, others, other_targets, ids[row], seed=0, step=step, settings=settings)
            assert torch.equal(alone[0][0], together[0][i])
            assert torch.equal(alone[1][0], together[1][i])
        assert torch.allclose(together[1].sum(1), torch.ones(17), atol=1e-6)


def test_with_both_on_each_step_uses_one_of_them() -> None:
    images, others, ids = torch.zeros(32, 1, 8, 8), torch.ones(32, 1, 8, 8), torch.arange(32)
    targets = torch.eye(2).repeat(16, 1)
    cut = 0
    for step in range(60):
        found, _ = mix(
            images, targets, others, targets, ids, seed=0, step=step, settings=Augmentation(mixup=8, cutmix=8)
        )
        whole = (found == 0) | (found == 1)
        assert bool(whole.all()) or not bool(whole.any())
        cut += bool(whole.all())
    assert 15 < cut < 45


def test_partners_are_a_permutation_of_the_global_batch() -> None:
    order = partners(100, seed=0, step=7)
    assert torch.equal(order.sort().values, torch.arange(100))
    assert not torch.equal(order, partners(100, seed=0, step=8))


@pytest.mark.parametrize(
    "wrong", [{"crop": -1}, {"erase": 1.5}, {"erase": math.nan}, {"mixup": -0.1}, {"cutmix": math.inf}, {"shear": 1}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Augmentation.model_validate(wrong)


def test_settings_say_what_they_switch_on() -> None:
    assert Augmentation(crop=1).random
    assert Augmentation(flip=True).random
    assert Augmentation(erase=0.1).random
    assert Augmentation(mixup=0.1).random
    assert Augmentation(cutmix=0.1).mixes
    assert not Augmentation(crop=1, flip=True, erase=0.1).mixes
    assert all(field.description for field in Augmentation.model_fields.values())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cpu_and_cuda_give_the_same_bits() -> None:
    images, ids = images_and_ids(256)
    here = augment(images, ids, seed=0, step=1, settings=ALL, fill=FILL)
    there = augment(images.cuda(), ids.cuda(), seed=0, step=1, settings=ALL, fill=FILL)
    assert torch.equal(here, there.cpu())


def _pairs(count: int, dtype: torch.dtype) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], Tensor]:
    images, ids = images_and_ids(count)
    targets = torch.eye(5)[torch.arange(count) % 5]
    order = partners(count, seed=0, step=0)
    return (images.to(dtype), targets.to(dtype), images[order].to(dtype), targets[order].to(dtype)), ids


def _plausible(left: Tensor, right: Tensor) -> bool:
    """Whether two samples may come from one distribution (Kolmogorov-Smirnov)."""
    return float(np.asarray(stats.ks_2samp(left.numpy(), right.numpy()))[1]) > IMPLAUSIBLE


def _one_by_one(image: Tensor, row: int, seed: int, step: int, settings: Augmentation) -> Tensor:
    _, height, width = image.shape
    rows = torch.tensor([row])
    down, right, mirrored = draws.words(seed, step, rows, "geometry", 3)[0].tolist()
    if settings.crop:
        places = 2 * settings.crop + 1
        padded = TF.pad(image, [settings.crop])
        image = TF.crop(padded, down * places >> 32, right * places >> 32, height, width)
    if settings.flip and mirrored & 1:
        image = TF.hflip(image)
    chosen, top, left, *shapes = draws.words(seed, step, rows, "erase", 23)[0].tolist()
    if chosen < settings.erase * 2**32:
        for area_word, aspect_word in zip(shapes[:10], shapes[10:], strict=True):
            area = height * width * (0.02 + (0.33 - 0.02) * (area_word / 2**32))
            low, high = math.log(0.3), math.log(3.3)
            aspect = math.exp(low + (high - low) * ((aspect_word * 4096 >> 32) + 0.5) / 4096)
            tall, wide = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if tall < height and wide < width:
                corner = top * (height - tall + 1) >> 32, left * (width - wide + 1) >> 32
                return TF.erase(image, *corner, tall, wide, FILL.to(image.dtype).view(3, 1, 1))
    return image


def _cutmix_one(image: Tensor, other: Tensor, row: int, step: int) -> Tensor:
    _, height, width = image.shape
    rows = torch.tensor([row])
    side = math.sqrt(1 - float(draws.beta(2, step, rows, "cutmix", alpha=1.0)))
    y, x = draws.words(2, step, rows, "cutmix centre", 2)[0].tolist()
    y, x = y * height >> 32, x * width >> 32
    down, right = int(side * height / 2), int(side * width / 2)
    result = image.clone()
    vertical, horizontal = slice(max(y - down, 0), y + down), slice(max(x - right, 0), x + right)
    result[:, vertical, horizontal] = other[:, vertical, horizontal]
    return result
