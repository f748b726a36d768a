"""A few rows of every category, and what a network makes of them on average."""

from collections.abc import Callable
from hashlib import sha256

import torch
from torch import Tensor

from selkd.data import draws
from selkd.data.cache import ArrayCache, Arrays, Create
from selkd.data.dataset import Part

VERSION = 1


def stratified(part: Part, rows: int, seed: int) -> Part:
    """At most so many rows of every category, drawn by the seed; a larger sample keeps what a smaller one had."""
    labels = part.labels
    luck = draws.uniform(seed, 0, part.ids, "stratified", dtype=torch.float64).flatten()
    order = luck.argsort(stable=True)
    order = order[labels[order].argsort(stable=True)]
    counts = torch.bincount(labels)
    rank = torch.arange(len(order)) - (counts.cumsum(0) - counts)[labels[order]]
    return Part(part.rows, part.index[order[rank < rows].sort().values])


def category_means(
    cache: ArrayCache,
    *,
    network: str,
    features_of: Callable[[Tensor], Tensor],
    part: Part,
    data_fingerprint: str,
    categories: int,
    device: torch.device | str,
    batch_size: int = 512,
) -> Arrays:
    """Mean features `means` [K, d] of the part's rows by category; NaN where a category has none.

    `network` is the fingerprint of what gives `features_of` images in [0, 1].
    """
    key = {
        "evidence": "mean features",
        "version": VERSION,
        "network": network,
        "data": data_fingerprint,
        "index": sha256(part.ids.cpu().numpy().astype("<i8").tobytes()).hexdigest(),
    }

    def make(create: Create) -> None:
        rows = torch.arange(len(part)).split(batch_size)
        found = torch.cat([features_of(part.pixels(index).to(device).float() / 255).double().cpu() for index in rows])
        sums = torch.zeros(categories, found.shape[1], dtype=torch.float64).index_add_(0, part.labels, found)
        counts = torch.bincount(part.labels, minlength=categories)
        create("means", tuple(sums.shape), "<f8")[:] = (sums / counts[:, None]).numpy()

    return cache.get(key, make, what="mean features of categories")
