"""Small data sets in memory and on disk."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from selkd.data import Dataset
from selkd.data.rows import ArrayRows

Tables = Callable[..., Dataset]
Tree = Callable[[Mapping[str, int]], Path]


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def dataset() -> Tables:
    """A data set with so many training rows a category, and test rows where given; a row's pixels tell its number."""

    def make(rows: list[int], test: list[int] | None = None, superclasses: dict | None = None) -> Dataset:
        def table(counts: list[int]) -> ArrayRows:
            labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
            labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(len(labels)))]
            numbers = np.arange(len(labels)).astype(np.uint8)
            return ArrayRows(np.broadcast_to(numbers[:, None, None, None], (len(labels), 1, 2, 2)).copy(), labels)

        return Dataset(
            name="generated",
            categories=tuple("abcdefgh"[: len(rows)]),
            superclasses=superclasses or {},
            train=table(rows),
            test=table(test) if test else None,
            mean=(0.5,),
            std=(0.5,),
            fingerprint="generated",
        )

    return make


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A folder with so many PNG images in each of its folders, colour, 6 x 5, no two alike."""

    def make(folders: Mapping[str, int]) -> Path:
        pixels = np.random.default_rng(0)
        for folder, count in folders.items():
            (tmp_path / "images" / folder).mkdir(parents=True)
            for number in range(count):
                image = Image.fromarray(pixels.integers(0, 256, (6, 5, 3), np.uint8))
                image.save(tmp_path / "images" / folder / f"{number}.png")
        return tmp_path / "images"

    return make
