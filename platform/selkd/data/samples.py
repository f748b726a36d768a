"""A few rows of every category, and what a network makes of them, one by one or on average."""

from collections.abc import Callable

import torch
from torch import Tensor

from selkd.data import draws
from selkd.data.cache import ArrayCache, Arrays, Create
from selkd.data.dataset import Part
from selkd.data.rows import at_once

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


def row_features(
    cache: ArrayCache,
    *,
    network: str,
    features_of: Callable[[Tensor], Tensor],
    part: Part,
    data_fingerprint: str,
    device: torch.device | str,
) -> Arrays:
    """Features `features` [n, d] of the part's rows in order.

    `network` is the fingerprint of what gives `features_of` images in [0, 1].
    """

    def make(create: Create) -> None:
        found = _seen(part, features_of, device)
        create("features", tuple(found.shape), "<f4")[:] = found.float().numpy()

    return cache.get(_key("features", network, part, data_fingerprint), make, what="features of rows")


def category_means(
    cache: ArrayCache,
    *,
    network: str,
    features_of: Callable[[Tensor], Tensor],
    part: Part,
    data_fingerprint: str,
    categories: int,
    device: torch.device | str,
) -> Arrays:
    """Mean features `means` [K, d] of the part's rows by category; NaN where a category has none.

    `network` is the fingerprint of what gives `features_of` images in [0, 1].
    """

    def make(create: Create) -> None:
        found = _seen(part, features_of, device)
        sums = torch.zeros(categories, found.shape[1], dtype=torch.float64).index_add_(0, part.labels, found)
        counts = torch.bincount(part.labels, minlength=categories)
        create("means", tuple(sums.shape), "<f8")[:] = (sums / counts[:, None]).numpy()

    return cache.get(_key("mean features", network, part, data_fingerprint), make, what="mean features of categories")


def _seen(part: Part, features_of: Callable[[Tensor], Tensor], device: torch.device | str) -> Tensor:
    rows = torch.arange(len(part)).split(at_once(device))
    return torch.cat([features_of(part.pixels(index).to(device).float() / 255).double().cpu() for index in rows])


def _key(evidence: str, network: str, part: Part, data_fingerprint: str) -> dict[str, str | int]:
    return {
        "evidence": evidence,
        "version": VERSION,
        "network": network,
        "data": data_fingerprint,
        "index": part.ids_sha256,
    }
