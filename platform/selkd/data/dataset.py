"""What a data set is: rows of images with labels, and the categories they belong to.

Shapes: N rows, B rows of a batch, C channels, H x W pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol, Self

import torch
from torch import Tensor

from selkd.errors import UserError, nearest


class Rows(Protocol):
    """Images and labels by row number; labels stay on the CPU, pixels come on the rows' device."""

    @property
    def labels(self) -> Tensor: ...  # [N] int64

    @property
    def shape(self) -> tuple[int, int, int]: ...  # C, H, W

    @property
    def streamed(self) -> bool: ...  # whether pixels take long enough to be loaded ahead

    def __len__(self) -> int: ...

    def pixels(self, index: Tensor) -> Tensor: ...  # [B] -> [B, C, H, W] uint8

    def to(self, device: torch.device | str) -> "Rows": ...


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training rows, the official test rows where there are any, and what their labels mean."""

    name: str
    categories: tuple[str, ...]
    superclasses: Mapping[str, tuple[str, ...]]
    train: Rows
    test: Rows | None
    mean: tuple[float, ...]  # per channel of the training rows, pixels in [0, 1]
    std: tuple[float, ...]
    fingerprint: str  # of the content and the image size

    def __post_init__(self) -> None:
        repeated = sorted({c for c in self.categories if self.categories.count(c) > 1})
        if repeated:
            raise UserError(
                f"{self.name}: the category {repeated[0]!r} is named twice. Give every category its own name."
            )
        for superclass, members in self.superclasses.items():
            for member in members:
                if member not in self.categories:
                    raise UserError(
                        f"{self.name}: the superclass {superclass!r} has an unknown member {member!r}. "
                        + nearest(member, self.categories)
                    )


@dataclass(frozen=True, eq=False)
class Part:
    """Some rows of a data set, in a fixed order; positions count within the part."""

    rows: Rows
    index: Tensor  # [n] int64

    @property
    def ids(self) -> Tensor:
        """Row numbers in the source: the keys of random draws."""
        return self.index

    @property
    def ids_sha256(self) -> str:
        """Which rows these are, in their order: the keys of evidence say it."""
        return sha256(self.ids.cpu().numpy().astype("<i8").tobytes()).hexdigest()

    @property
    def labels(self) -> Tensor:
        return self.rows.labels[self.index]

    def __len__(self) -> int:
        return len(self.index)

    def pixels(self, positions: Tensor) -> Tensor:
        return self.rows.pixels(self.index[positions])


@dataclass(frozen=True, eq=False)
class Splits:
    """The parts of a study: nothing is chosen on the test part, and only weightings learn from the outer one."""

    train: Part
    validation: Part
    test: Part
    outer: Part | None = None

    def __post_init__(self) -> None:
        if self.outer is None:
            return
        for name in ("train", "validation", "test"):
            part: Part = getattr(self, name)
            if part.rows is self.outer.rows and bool(torch.isin(part.index, self.outer.index).any()):
                raise UserError(f"data.outer: the outer part shares rows with the {name} part. Keep them apart.")

    def to(self, device: torch.device | str) -> Self:
        """The same parts with rows moved to `device`; rows that parts share are moved once."""
        parts = [part for part in (self.train, self.validation, self.test, self.outer) if part is not None]
        moved = {id(part.rows): part.rows for part in parts}
        moved = {key: rows.to(device) for key, rows in moved.items()}
        return type(self)(*(Part(moved[id(part.rows)], part.index) for part in parts))
