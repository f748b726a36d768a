"""Random augmentation, batched on the device of the images.

Every draw is a function of (seed, step, row), so what happens to a row does not depend on the batch or the worker that
holds it. Shapes: B rows, C channels, H x W pixels, K categories.
"""

import functools
import math

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional as F

from selkd.data import draws

ATTEMPTS = 10
AREAS = (0.02, 0.33)
ASPECTS = (0.3, 3.3)
ASPECT_LEVELS = 4096


class Augmentation(BaseModel):
    """Random changes of training images; all are off by default."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    crop: int = Field(
        default=0, ge=0, le=64, description="Pixels of zero padding from which a window of the old size is cut."
    )
    flip: bool = Field(default=False, description="Mirror half of the images left to right.")
    erase: float = Field(
        default=0.0, ge=0, le=1, description="Chance that a rectangle of 2-33 % of the area is set to the data's mean."
    )
    mixup: float = Field(
        default=0.0, ge=0, le=100, description="Beta parameter of the share at which two images are blended; 0 is off."
    )
    cutmix: float = Field(
        default=0.0,
        ge=0,
        le=100,
        description="Beta parameter of the area that stays when a patch is pasted in; 0 is off.",
    )

    @property
    def mixes(self) -> bool:
        return self.mixup > 0 or self.cutmix > 0

    @property
    def random(self) -> bool:
        return self.crop > 0 or self.flip or self.erase > 0 or self.mixes


def augment(
    images: Tensor, ids: Tensor, *, seed: int, step: int | Tensor, settings: Augmentation, fill: Tensor
) -> Tensor:
    """Crop, flip and erase images [B, C, H, W] in [0, 1]; `step` is one for all or one a row, `fill` [C] erases."""
    if settings.crop or settings.flip:
        drawn = draws.words(seed, step, ids, "geometry", 3)
        offsets = draws.below(drawn[:, :2], 2 * settings.crop + 1)
        mirrored = (drawn[:, 2] & 1 if settings.flip else torch.zeros_like(ids)).bool()
        images = cut(images, settings.crop, offsets, mirrored)
    if settings.erase:
        images = torch.where(erased(images, ids, seed, step, settings.erase), fill.to(images).view(-1, 1, 1), images)
    return images


def cut(images: Tensor, padding: int, offsets: Tensor, mirrored: Tensor) -> Tensor:
    """Windows of the zero-padded images at `offsets` [B, 2] (down, right), some mirrored: one exact gather."""
    *_, height, width = images.shape
    rows = offsets[:, 0, None] + torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device)
    columns = offsets[:, 1, None] + torch.where(mirrored[:, None], width - 1 - columns, columns)
    pixels = rows[:, :, None] * (width + 2 * padding) + columns[:, None, :]
    padded = F.pad(images, (padding,) * 4).flatten(2)
    return padded.gather(2, pixels.flatten(1)[:, None].expand(-1, images.shape[1], -1)).view(images.shape)


def erased(images: Tensor, ids: Tensor, seed: int, step: int | Tensor, chance: float) -> Tensor:
    """Pixels [B, 1, H, W] of random erasing (Zhong et al. 2020): the first rectangle of ten that fits the image."""
    height, width = images.shape[-2:]
    drawn = draws.words(seed, step, ids, "erase", 3 + 2 * ATTEMPTS)
    chosen = drawn[:, 0] < int(chance * 2**32)
    share = drawn[:, 3 : 3 + ATTEMPTS].double() * 2.0**-32
    area = height * width * (AREAS[0] + (AREAS[1] - AREAS[0]) * share)
    aspect = _aspects(images.device)[draws.below(drawn[:, 3 + ATTEMPTS :], ASPECT_LEVELS)]
    heights, widths = (area * aspect).sqrt().round().long(), (area / aspect).sqrt().round().long()
    fits = (heights < height) & (widths < width)
    first = fits.int().argmax(1, keepdim=True)
    down, right = heights.gather(1, first), widths.gather(1, first)
    top = draws.below(drawn[:, 1:2], height - down + 1)
    left = draws.below(drawn[:, 2:3], width - right + 1)
    return inside((top, top + down), (left, left + right), (height, width)) & (chosen & fits.any(1)).view(-1, 1, 1, 1)


def partners(count: int, *, seed: int, step: int) -> Tensor:
    """For each position of a global batch of `count` rows, the position it is mixed with."""
    return draws.permutation(seed, step, count, "partner")


def mix(
    images: Tensor,
    targets: Tensor,
    partner_images: Tensor,
    partner_targets: Tensor,
    ids: Tensor,
    *,
    seed: int,
    step: int,
    settings: Augmentation,
) -> tuple[Tensor, Tensor]:
    """Mixup (Zhang et al. 2018) or cutmix (Yun et al. 2019) of targets [B, K]; one of both a step, drawn."""
    if settings.mixup and settings.cutmix:
        blends = bool(draws.uniform(seed, step, torch.zeros(1, dtype=torch.int64), "mixture") < 0.5)
    else:
        blends = settings.mixup > 0
    if blends:
        share = draws.beta(seed, step, ids, "mixup", alpha=settings.mixup).to(targets.dtype)
        weight = share.to(images.dtype).view(-1, 1, 1, 1)
        images = weight * images + (1 - weight) * partner_images
    elif settings.cutmix:
        pasted = patches(images, ids, seed, step, settings.cutmix)
        images = torch.where(pasted, partner_images, images)
        share = 1 - pasted.flatten(1).sum(1, keepdim=True).to(targets.dtype) / math.prod(pasted.shape[1:])
    else:
        return images, targets
    return images, share * targets + (1 - share) * partner_targets


def patches(images: Tensor, ids: Tensor, seed: int, step: int, alpha: float) -> Tensor:
    """Pixels [B, 1, H, W] that cutmix replaces: a rectangle around a uniform centre, clipped at the border."""
    height, width = images.shape[-2:]
    side = (1 - draws.beta(seed, step, ids, "cutmix", alpha=alpha)).sqrt()
    drawn = draws.words(seed, step, ids, "cutmix centre", 2)
    row, column = draws.below(drawn[:, :1], height), draws.below(drawn[:, 1:], width)
    down, right = (side * height / 2).long(), (side * width / 2).long()
    return inside((row - down, row + down), (column - right, column + right), (height, width))


def inside(vertical: tuple[Tensor, Tensor], horizontal: tuple[Tensor, Tensor], size: tuple[int, int]) -> Tensor:
    """Pixels [B, 1, H, W] from the first to before the second of the bounds [B, 1] in both directions."""
    rows, columns = (torch.arange(n, device=vertical[0].device) for n in size)
    tall = (rows >= vertical[0]) & (rows < vertical[1])
    wide = (columns >= horizontal[0]) & (columns < horizontal[1])
    return (tall[:, :, None] & wide[:, None, :])[:, None]


@functools.cache
def _aspects(device: torch.device) -> Tensor:
    """Log-uniform aspects as a table, because exp() rounds differently from device to device."""
    low, high = map(math.log, ASPECTS)
    levels = [math.exp(low + (high - low) * (i + 0.5) / ASPECT_LEVELS) for i in range(ASPECT_LEVELS)]
    return torch.tensor(levels, dtype=torch.float64, device=device)
