"""Train, validation and test: stratified, seeded, and the official test split stays the test split."""

import logging
from collections.abc import Mapping

import torch
from torch import Tensor

from selkd.data import draws
from selkd.data.dataset import Dataset, Part, Rows, Splits
from selkd.errors import UserError, nearest

SHOWN = 10

log = logging.getLogger(__name__)


def split(
    dataset: Dataset,
    *,
    validation: float = 0.1,
    test: float = 0.2,
    seed: int,
    rows_per_category: int | Mapping[str, int] | None = None,
    outer: float = 0.0,
) -> Splits:
    """Parts in which every category keeps its share.

    `test` is a share of all rows, used only where there is no official test split; `validation` is a share of the
    rows that are left. `rows_per_category` limits the training part, of every category or of those named; a larger
    limit keeps what a smaller one kept. `outer` is a share of those training rows, which leaves them.
    """
    shares = {"validation": validation} if dataset.test else {"validation": validation, "test": test}
    for name, share in shares.items():
        if not 0 < share < 1:
            raise UserError(f"{name}: {share} is not a share. It must lie between 0 and 1.")
    if not 0 <= outer < 1:
        raise UserError(f"outer: {outer} is not a share. It must be at least 0 and below 1.")
    limits = _limits(dataset, rows_per_category)
    parts: dict[str, list[Tensor]] = {"train": [], "validation": [], "test": [], "outer": []}
    short: dict[str, int] = {}
    for category, rows in zip(dataset.categories, _shuffled_by_category(dataset, seed), strict=True):
        held = 0 if dataset.test else _nearest_count(test, len(rows))
        validating = _nearest_count(validation, len(rows) - held)
        counts = {"test": held, "validation": validating, "train": len(rows) - held - validating}
        _check(dataset, category, len(rows), {n: c for n, c in counts.items() if n in shares or n == "train"})
        if counts["train"] < limits.get(category, 0):
            short[category] = counts["train"]
        for (name, _), own in zip(counts.items(), rows.split(list(counts.values())), strict=True):
            parts[name].append(own[: limits.get(category)] if name == "train" else own)
        if outer:
            training = parts["train"].pop()
            taken = _evenly(outer, len(training))
            kept = {"outer": int(taken.sum()), "train": int((~taken).sum())}
            _check(dataset, category, len(training), kept)
            parts["train"].append(training[~taken])
            parts["outer"].append(training[taken])
    if short:
        log.warning(
            "%s: rows_per_category is %s, and fewer training rows are there, all of which are used: %s",
            dataset.name, rows_per_category, _shown(short),
        )  # fmt: skip
    index = {name: torch.cat(rows).sort().values for name, rows in parts.items() if rows}
    return Splits(
        Part(dataset.train, index["train"]),
        Part(dataset.train, index["validation"]),
        _official(dataset, dataset.test) if dataset.test else Part(dataset.train, index["test"]),
        Part(dataset.train, index["outer"]) if outer else None,
    )


def _limits(dataset: Dataset, rows: int | Mapping[str, int] | None) -> dict[str, int]:
    """Training rows that the categories may have at most, where that is limited."""
    limits = dict(rows) if isinstance(rows, Mapping) else dict.fromkeys(dataset.categories, rows)
    for name, limit in limits.items():
        if name not in dataset.categories:
            raise UserError(
                f"rows_per_category: {dataset.name} has no category {name!r}. {nearest(name, dataset.categories)}"
            )
        if limit is not None and limit < 1:
            raise UserError(f"rows_per_category: {limit} leaves nothing to train on. Give 1 or more.")
    return {name: limit for name, limit in limits.items() if limit is not None}


def _shuffled_by_category(dataset: Dataset, seed: int) -> list[Tensor]:
    """The training rows of every category, in a random order."""
    order = draws.permutation(seed, 0, len(dataset.train), "split")
    labels = dataset.train.labels[order]
    counts = torch.bincount(labels, minlength=len(dataset.categories)).tolist()
    return list(order[labels.argsort(stable=True)].split(counts))


def _nearest_count(share: float, rows: int) -> int:
    return int(share * rows + 0.5)


def _evenly(share: float, rows: int) -> Tensor:
    """Mask [rows] of a share of the rows, evenly spread, so that what more rows take includes what fewer do."""
    reached = (torch.arange(rows + 1, dtype=torch.float64) * share + 0.5).floor()
    return reached.diff() > 0


def _check(dataset: Dataset, category: str, rows: int, counts: dict[str, int]) -> None:
    for name, count in counts.items():
        if count == 0:
            raise UserError(
                f"{dataset.name}: category {category!r} has {rows} rows, which leaves none for {name}. "
                + ("Add rows or drop the category." if rows < len(counts) else f"Change the shares ({_shown(counts)}).")
            )


def _shown(counts: dict[str, int]) -> str:
    """The first counts by name."""
    shown = [f"{name}: {count} rows" for name, count in counts.items()]
    return ", ".join(shown[:SHOWN]) + (f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else "")


def _official(dataset: Dataset, test: Rows) -> Part:
    counts = torch.bincount(test.labels, minlength=len(dataset.categories)).tolist()
    for category, count in zip(dataset.categories, counts, strict=True):
        if count == 0:
            raise UserError(
                f"{dataset.name}: category {category!r} has no rows in the test split. Add some or drop it."
            )
    return Part(test, torch.arange(len(test)))
