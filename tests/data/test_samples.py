"""A few rows of every category, and mean features."""

from pathlib import Path

import numpy as np
import torch

from selkd.data.cache import ArrayCache
from selkd.data.dataset import Part
from selkd.data.rows import ArrayRows
from selkd.data.samples import category_means, stratified


def part(counts: tuple[int, ...] = (9, 2, 5)) -> Part:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 1, 2, 2), dtype=np.uint8)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    return Part(ArrayRows(images, labels), order)


def test_every_category_gives_as_many_rows_as_it_can() -> None:
    for rows in (1, 3, 100):
        found = stratified(part(), rows, seed=0)
        assert torch.bincount(found.labels).tolist() == [min(rows, count) for count in (9, 2, 5)]
        assert len(set(found.index.tolist())) == len(found)


def test_a_larger_sample_keeps_the_smaller_one_and_seeds_differ() -> None:
    small, large = (set(stratified(part(), rows, seed=1).index.tolist()) for rows in (2, 4))
    assert small < large
    assert small != set(stratified(part(), 2, seed=2).index.tolist())


def test_means_are_those_of_each_category_and_computed_once(tmp_path: Path) -> None:
    rows, asked = part((3, 0, 2)), 0

    def features_of(images: torch.Tensor) -> torch.Tensor:
        nonlocal asked
        asked += len(images)
        return images.flatten(1)

    found, again = (
        category_means(
            ArrayCache(tmp_path), network="n", features_of=features_of, part=rows, data_fingerprint="d", categories=3,
            device="cpu",
        )["means"] for _ in range(2)
    )  # fmt: skip
    assert asked == 5
    assert np.array_equal(found, again, equal_nan=True)
    pixels = rows.pixels(torch.arange(5)).double().flatten(1) / 255
    for category in (0, 2):
        torch.testing.assert_close(
            torch.tensor(found[category]), pixels[rows.labels == category].mean(0), atol=1e-7, rtol=0
        )
    assert np.isnan(found[1]).all()
