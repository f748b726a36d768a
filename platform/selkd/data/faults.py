"""Faults on purpose: training rows with a wrong label, with noise for an image, or about which the teacher is wrong.

Which rows these are, and what is wrong with them, is a function of (data seed, row, kind of fault): other faults, other
rows and the number of workers change nothing. Validation, outer and test rows stay sound, and so does the split.
Shapes: N rows, B rows of a batch, C channels, H x W pixels, K categories.
"""

import math
from dataclasses import replace

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from selkd.data import draws
from selkd.data.dataset import Dataset, Part, Rows, Splits
from selkd.errors import UserError
from selkd.files import fingerprint

LOGIT_STEP = 10.0
"""By how much a teacher that is wrong prefers a category to the next one of its order."""
LEVELS = 256
CENTRE = 0.5


KINDS = ("labels", "images", "teacher")


class Faults(BaseModel):
    """Training rows that are spoiled on purpose, to see whom a student then believes; none by default."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    labels: float = Field(default=0.0, ge=0, lt=1, description="Share of the training rows that get a wrong label.")
    images: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the training rows whose image is replaced by noise."
    )
    teacher: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the training rows about which the teacher is sure and wrong."
    )

    def rows_fingerprint(self, data: str, seed: int) -> str:
        """Of the training rows as anybody sees them; that of the `data` where nothing is wrong."""
        return data if self == Faults() else fingerprint([data, self.model_dump(), seed])

    def fingerprint(self, data: str, seed: int) -> str:
        """Of what the teacher sees and says of the training rows; that of the `data` where nothing of it is wrong."""
        wrong = {"images": self.images, "teacher": self.teacher}
        return fingerprint({"data": data, "seed": seed, "faults": wrong}) if any(wrong.values()) else data


def spoiled(parts: Splits, dataset: Dataset, faults: Faults, seed: int) -> Splits:
    """The same parts, with faults in labels and images of the training rows."""
    if len(dataset.categories) == 1 and (faults.labels or faults.teacher):
        raise UserError(
            f"data.faults: {dataset.name} has a single category, and nobody can be wrong about it. Set "
            "data.faults.labels and data.faults.teacher to 0."
        )
    if not faults.labels and not faults.images:
        return parts
    ids = torch.arange(len(parts.train.rows))
    labels = torch.where(
        faulty(ids, "labels", faults.labels, seed),
        wrong_labels(parts.train.rows.labels, ids, len(dataset.categories), seed),
        parts.train.rows.labels,
    )
    rows = SpoiledRows(parts.train.rows, labels, faulty(ids, "images", faults.images, seed), seed)
    return replace(parts, train=Part(rows, parts.train.index))


class SpoiledRows:
    """Rows with labels of their own, some of which are noise."""

    def __init__(self, rows: Rows, labels: Tensor, noisy: Tensor, seed: int) -> None:
        self.rows, self.labels = rows, labels
        self.noisy, self.seed = noisy, seed  # noisy: mask [N]

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.rows.shape

    @property
    def streamed(self) -> bool:
        return self.rows.streamed

    def __len__(self) -> int:
        return len(self.rows)

    def pixels(self, index: Tensor) -> Tensor:
        found = self.rows.pixels(index)
        places = self.noisy[index].nonzero().flatten()
        instead = noise(index[places].to(found.device), self.shape, self.seed)
        return found.index_copy(0, places.to(found.device), instead)

    def to(self, device: torch.device | str) -> Rows:
        return SpoiledRows(self.rows.to(device), self.labels, self.noisy, self.seed)


def faulty(ids: Tensor, kind: str, share: float, seed: int) -> Tensor:
    """Mask [B] of the rows with this kind of fault: each has it with the chance `share`; a larger share adds rows."""
    return draws.uniform(seed, 0, ids, f"faulty {kind}", dtype=torch.float64)[:, 0] < share


def kinds(rows: int, faults: Faults, seed: int) -> Tensor:
    """What is wrong with each training row [N]: 1 for its label, 2 for its image, 4 for the teacher, summed."""
    ids = torch.arange(rows)
    each = [2**bit * faulty(ids, kind, getattr(faults, kind), seed) for bit, kind in enumerate(KINDS)]
    return torch.stack(each).sum(0)


def wrong_labels(labels: Tensor, ids: Tensor, categories: int, seed: int) -> Tensor:
    """Another category [B] than the label, all equally likely."""
    further = 1 + draws.integers(seed, 0, ids, "wrong label", high=categories - 1)[:, 0]
    return (labels + further) % categories


def noise(ids: Tensor, shape: tuple[int, int, int], seed: int) -> Tensor:
    """Pixels [B, C, H, W] uint8, every value drawn from N(0.5, 1) and clipped to [0, 1] (TGeo-KD's outliers)."""
    drawn = draws.words(seed, 0, ids, "noise", math.prod(shape)).contiguous()
    return torch.bucketize(drawn, _BELOW.to(ids.device), right=True).to(torch.uint8).view(-1, *shape)


def misled(logits: Tensor, ids: Tensor, truth: Tensor, share: float, seed: int) -> Tensor:
    """The teacher's logits [B, K] of training rows, wrong about a share of them; `truth` [N] are all true labels.

    There the categories are in a random order with the truth last, so that the teacher is sure and wrong also where a
    task has but a few of them.
    """
    if not share:
        return logits
    order = draws.words(seed, 0, ids, "wrong order", logits.shape[1])
    order.scatter_(1, truth[ids.cpu()].to(ids.device)[:, None], -1)
    ranks = order.argsort(dim=1, stable=True).argsort(dim=1)
    return torch.where(faulty(ids, "teacher", share, seed)[:, None], LOGIT_STEP * ranks.to(logits), logits)


def _chance(value: float) -> float:
    """That N(0.5, 1) is below the value."""
    return (1 + math.erf((value - CENTRE) / math.sqrt(2))) / 2


_BELOW = torch.tensor([int(2**32 * _chance((level + 0.5) / (LEVELS - 1))) for level in range(LEVELS - 1)])
"""Below which of all 2^32 words a pixel is at most each level: integers, so that the noise is the same everywhere."""
