"""Arrays that a Python user brings."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from selkd.data import store
from selkd.data.dataset import Dataset
from selkd.data.rows import ArrayRows
from selkd.errors import UserError


def from_arrays(
    train: tuple[Any, Any],
    test: tuple[Any, Any] | None = None,
    *,
    categories: Sequence[str],
    superclasses: Mapping[str, Sequence[str]] | None = None,
    root: Path,
    name: str = "arrays",
) -> Dataset:
    """A data set of (images, labels): images [N, H, W] or [N, C, H, W] in 0 ... 255 or, floating, 0 ... 1."""
    categories = tuple(categories)
    rows = {"train": _rows("train", *train, categories)}
    if test is not None:
        rows["test"] = _rows("test", *test, categories)
        if rows["test"].shape != rows["train"].shape:
            raise UserError(f"test images have shape {rows['test'].shape}, train images {rows['train'].shape}.")
    superclasses = {s: tuple(members) for s, members in (superclasses or {}).items()}
    content = {
        "categories": categories,
        "superclasses": superclasses,
        "parts": {part: [own.images.shape, _checksum(own)] for part, own in rows.items()},
    }
    return store.keep(root, content, lambda: rows, name=name, categories=categories, superclasses=superclasses)


def _checksum(rows: ArrayRows) -> str:
    digest = sha256(np.ascontiguousarray(rows.images).data)
    digest.update(rows.labels.numpy().astype("<i8").data)
    return digest.hexdigest()


def _rows(part: str, images: Any, labels: Any, categories: tuple[str, ...]) -> ArrayRows:
    images, labels = np.asarray(images), np.asarray(labels)
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise UserError(
            f"{part} images have shape {images.shape}. Give [N, H, W] or [N, C, H, W] with 1 or 3 channels before "
            "height and width."
        )
    if not len(images):
        raise UserError(f"{part} images: there are none.")
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise UserError(
            f"{part} labels: {labels.dtype} of shape {labels.shape}. Give one integer for each of {len(images)} images."
        )
    outside = labels[(labels < 0) | (labels >= len(categories))]
    if len(outside):
        raise UserError(
            f"{part} labels: {outside[0]} is not in 0 ... {len(categories) - 1}, the ids of the categories."
        )
    return ArrayRows(_levels(part, images), torch.from_numpy(labels.astype(np.int64)))


def _levels(part: str, images: np.ndarray) -> np.ndarray:
    """Pixels as levels 0 ... 255."""
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind not in "iuf":
        raise UserError(f"{part} images: {images.dtype} is no kind of pixel. Give uint8, integers or floats.")
    floating = images.dtype.kind == "f"
    if floating and not np.isfinite(images).all():
        row = int(np.argwhere(~np.isfinite(images))[0, 0])
        raise UserError(f"{part} images: row {row} has a pixel that is not finite. Remove or repair the row.")
    highest = 1 if floating else 255
    if images.min() < 0 or images.max() > highest:
        row = int(np.argwhere((images < 0) | (images > highest))[0, 0])
        raise UserError(
            f"{part} images: row {row} has a pixel outside 0 ... {highest}, the range of {images.dtype}. "
            "Scale the images."
        )
    return (images * 255).round().astype(np.uint8) if floating else images.astype(np.uint8)
