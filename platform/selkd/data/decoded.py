"""Decoded images, kept once per machine in files that every process maps.

Shapes: N rows, C channels, H x W pixels.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from selkd.data.cache import ArrayCache, Arrays, Create
from selkd.data.dataset import Dataset, Rows
from selkd.data.progress import tell
from selkd.data.rows import ArrayRows
from selkd.files import fingerprint

VERSION = 1
CHUNK = 2**25  # bytes decoded at a time

ReadRows = Callable[[], Mapping[str, Rows]]  # "train", and "test" where there is an official one


def arrays_under(root: Path) -> ArrayCache:
    return ArrayCache(root / "mapped")


def keep(
    root: Path,
    content: Mapping[str, Any],
    read: ReadRows,
    *,
    name: str,
    categories: tuple[str, ...],
    superclasses: Mapping[str, tuple[str, ...]] | None = None,
    image_size: int | None = None,
) -> Dataset:
    """The data set with this content, mapped; `read` is called only where its arrays are not kept yet."""
    identity = {"data": dict(content), "image_size": image_size, "version": VERSION}

    def make(create: Create) -> None:
        for part, rows in read().items():
            _write(rows, part, image_size, create, f"{name}, {part}")

    kept = arrays_under(root).get({"pixels of": identity}, make, what=f"the images of {name}")
    return Dataset(
        name=name,
        categories=categories,
        superclasses=superclasses or {},
        train=_mapped(kept, "train"),
        test=_mapped(kept, "test") if "test_images" in kept else None,
        mean=tuple(kept["mean"].tolist()),
        std=tuple(kept["std"].tolist()),
        fingerprint=fingerprint(identity),
    )


def stream(
    root: Path, content: Mapping[str, Any], read: ReadRows, *, name: str, categories: tuple[str, ...]
) -> Dataset:
    """The data set with this content, decoded on demand; every image is decoded once to see that it can be."""
    identity = {"data": dict(content), "image_size": None, "version": VERSION}
    rows = read()

    def make(create: Create) -> None:
        for part, own in rows.items():
            levels = np.zeros((own.shape[0], 256), np.int64)
            for index in _chunks(own):
                levels += _histogram(own.pixels(index))
                tell(f"{name}, {part}", int(index[-1]) + 1, len(own))
            if part == "train":
                _write_moments(levels, create)

    kept = arrays_under(root).get({"moments of": identity}, make, what=f"the pixel moments of {name}")
    return Dataset(
        name=name,
        categories=categories,
        superclasses={},
        train=rows["train"],
        test=rows.get("test"),
        mean=tuple(kept["mean"].tolist()),
        std=tuple(kept["std"].tolist()),
        fingerprint=fingerprint(identity),
    )


def _mapped(kept: Arrays, part: str) -> ArrayRows:
    return ArrayRows(kept[f"{part}_images"], torch.tensor(kept[f"{part}_labels"]))


def _write(rows: Rows, part: str, image_size: int | None, create: Create, title: str) -> None:
    channels, *size = rows.shape
    size = size if image_size is None else [image_size, image_size]
    images = create(f"{part}_images", (len(rows), channels, *size), "|u1")
    levels = np.zeros((channels, 256), np.int64)
    for index in _chunks(rows):
        pixels = _resized(rows.pixels(index), size)
        images[index[0] : index[-1] + 1] = pixels.numpy()
        levels += _histogram(pixels)
        tell(title, int(index[-1]) + 1, len(rows))
    create(f"{part}_labels", (len(rows),), "<i8")[:] = rows.labels.numpy()
    if part == "train":
        _write_moments(levels, create)


def _write_moments(levels: np.ndarray, create: Create) -> None:
    """Mean and standard deviation per channel of pixels in [0, 1]; a constant channel has deviation 1."""
    shares = levels / levels.sum(1, keepdims=True)
    values = np.arange(256) / 255
    mean = shares @ values
    std = np.sqrt((shares * (values - mean[:, None]) ** 2).sum(1))
    create("mean", mean.shape, "<f8")[:] = mean
    create("std", std.shape, "<f8")[:] = np.where(std > 0, std, 1.0)


def _chunks(rows: Rows) -> tuple[Tensor, ...]:
    """All row numbers in pieces of about `CHUNK` bytes."""
    return torch.arange(len(rows)).split(max(1, CHUNK // math.prod(rows.shape)))


def _resized(pixels: Tensor, size: list[int]) -> Tensor:
    """Images [B, C, H, W] (uint8) scaled to `size`, without aliasing."""
    if list(pixels.shape[2:]) == size:
        return pixels
    return F.interpolate(pixels, size=size, mode="bilinear", antialias=True, align_corners=False)


def _histogram(pixels: Tensor) -> np.ndarray:
    """How often every level 0 ... 255 occurs in each channel: [C, 256]."""
    return np.stack([torch.bincount(channel.flatten(), minlength=256).numpy() for channel in pixels.unbind(1)])
