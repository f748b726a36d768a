"""Arrays that a Python user brings: kept under a name, so that a configuration can say `arrays:NAME`."""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from selkd.data import decoded
from selkd.data.dataset import Dataset, Rows
from selkd.data.rows import ArrayRows
from selkd.errors import UserError, nearest
from selkd.files import read_json, write_json

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Entry(BaseModel):
    """What a name stands for: the content that the kept arrays are found by."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    categories: tuple[str, ...]
    superclasses: dict[str, tuple[str, ...]]
    parts: dict[str, tuple[tuple[int, ...], str]]  # shape and checksum

    def load(self, name: str, root: Path, read: decoded.ReadRows, image_size: int | None = None) -> Dataset:
        return decoded.keep(
            root,
            self.model_dump(mode="json"),
            read,
            name=name,
            categories=self.categories,
            superclasses=self.superclasses,
            image_size=image_size,
        )


def from_arrays(
    train: tuple[Any, Any],
    test: tuple[Any, Any] | None = None,
    *,
    categories: Sequence[str],
    superclasses: Mapping[str, Sequence[str]] | None = None,
    root: Path,
    name: str,
) -> Dataset:
    """Keep (images, labels) under `root` as the source `arrays:NAME`, and load it.

    Images are [N, H, W] or [N, C, H, W] in 0 ... 255 or, floating, 0 ... 1; labels are ids of the categories.
    """
    categories, path = tuple(categories), _path(root, name)
    if not all(isinstance(category, str) for category in categories):
        raise UserError(f"categories: {categories!r} are not all strings. Give every category a name.")
    rows = {"train": _rows("train", *train, categories)}
    if test is not None:
        rows["test"] = _rows("test", *test, categories)
        if rows["test"].shape != rows["train"].shape:
            raise UserError(f"test images have shape {rows['test'].shape}, train images {rows['train'].shape}.")
    entry = Entry(
        categories=categories,
        superclasses={s: tuple(members) for s, members in (superclasses or {}).items()},
        parts={part: (own.images.shape, _checksum(own)) for part, own in rows.items()},
    )
    if path.exists() and _read(path) != entry:
        raise UserError(
            f"arrays {name!r} are kept with other content, which students may refer to. "
            f"Choose another name, or remove {path}."
        )
    dataset = entry.load(name, root, lambda: rows)
    write_json(path, entry.model_dump(mode="json"))
    return dataset


def named(name: str, *, root: Path, image_size: int | None = None) -> Dataset:
    """The arrays that `from_arrays` kept under this name."""
    path = _path(root, name)
    if not path.is_file():
        known = sorted(entry.stem for entry in path.parent.glob("*.json"))
        raise UserError(
            f"source: no arrays {name!r} in {path.parent}. {nearest(name, known)} "
            f"selkd.from_arrays(..., name={name!r}) keeps them."
        )

    def gone() -> NoReturn:
        raise UserError(f"arrays {name!r}: {path} is there, the images are not. Call selkd.from_arrays again.")

    def read() -> dict[str, Rows]:
        parts = {"train": kept.train, "test": kept.test}
        return {part: rows for part, rows in parts.items() if rows is not None}

    entry = _read(path)
    kept = entry.load(name, root, gone)
    return kept if image_size is None else entry.load(name, root, read, image_size)


def _path(root: Path, name: str) -> Path:
    if not NAME.fullmatch(name):
        raise UserError(f"arrays name: {name!r} is refused. Use letters, digits, '.', '_' and '-'.")
    return root / "arrays" / f"{name}.json"


def _read(path: Path) -> Entry:
    try:
        return Entry.model_validate(read_json(path))
    except ValidationError:
        raise UserError(
            f"{path} is not what selkd.from_arrays writes. Remove it and call selkd.from_arrays again."
        ) from None


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
