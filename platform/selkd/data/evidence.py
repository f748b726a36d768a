"""Evidence: what is known per row and per category before training, computed once and kept in the cache of arrays.

Shapes: V views, N rows, K categories of the teacher.
"""

from collections.abc import Callable
from hashlib import sha256

import numpy as np
import torch
from torch import Tensor

from selkd.data.augment import Augmentation, augment
from selkd.data.cache import ArrayCache, Arrays, Create
from selkd.data.dataset import Part
from selkd.data.progress import tell
from selkd.data.rows import at_once
from selkd.errors import UserError

Answers = Callable[[Tensor, Tensor], Tensor]
"""From images [B, C, H, W] in [0, 1] and their row numbers [B] to a teacher's logits [B, K]."""

LOGITS_VERSION = 1
STATISTICS_VERSION = 1
STATISTICS_ROWS = 1024


def teacher_logits(
    cache: ArrayCache,
    *,
    teacher_fingerprint: str,
    logits_of: Answers,
    part: Part,
    data_fingerprint: str,
    part_name: str,
    views: int,
    augmentation: Augmentation,
    seed: int,
    fill: Tensor,
    device: torch.device | str,
    batch_size: int | None = None,
) -> Arrays:
    """The teacher's `logits` [V, N, K] (float32) over a part, in its order.

    Without random augmentation there is one plain view; with it, view v is `augment(..., seed=seed, step=v)`.
    `logits_of` is asked on `device`.
    """
    if augmentation.mixes:
        raise UserError(
            "mixup and cutmix make images that no stored view holds. Let the teacher run online, or set mixup and "
            "cutmix to 0."
        )
    if len(part) == 0:
        raise UserError(f"the {part_name} part has no rows, so there is nothing to ask the teacher.")
    drawn = {
        "seed": seed,
        "augmentation": augmentation.model_dump(),
        "fill": fill.tolist() if augmentation.erase else None,
    }
    views = views if augmentation.random else 1
    key = {
        "evidence": "teacher logits",
        "version": LOGITS_VERSION,
        "teacher": teacher_fingerprint,
        "data": data_fingerprint,
        "part": part_name,
        "index": part.ids_sha256,
        "views": views,
        "drawn": drawn if augmentation.random else None,
    }

    def make(create: Create) -> None:
        logits = None
        for rows in torch.arange(len(part)).split(batch_size or at_once(device)):
            images = part.pixels(rows).to(device).float() / 255
            ids = part.ids[rows].to(device)
            for view in range(views):
                seen = augment(images, ids, seed=seed, step=view, settings=augmentation, fill=fill)
                answers = logits_of(seen, ids).float().cpu()
                if logits is None:
                    logits = create("logits", (views, len(part), answers.shape[1]), "<f4")
                logits[view, rows[0] : rows[-1] + 1] = answers.numpy()
                tell(f"teacher, {part_name}", int(rows[0]) * views + (view + 1) * len(rows), views * len(part))

    with torch.no_grad():
        return cache.get(key, make, what=f"the teacher's outputs of the {part_name} part")


def statistics(cache: ArrayCache, logits: Arrays, labels: Tensor) -> Arrays:
    """What stored `logits` [V, N, K] say about rows and categories, given `labels` [N]; means over views.

    Per row: `true_probability`, `margin` (true less best other probability), `entropy` in nats, `correct`. Per
    category: `mean_probability` and `confusion` [K, K] (true, predicted; counts), `accuracy`, `rows`. A category
    without rows has NaN as means.
    """
    count, categories = logits["logits"].shape[1:]
    labels = labels.cpu().long()
    if len(labels) != count or (count and not 0 <= int(labels.min()) <= int(labels.max()) < categories):
        raise UserError(
            f"labels ({len(labels)} rows, up to {int(labels.max()) if len(labels) else 0}) do not fit the teacher's "
            f"logits ({count} rows, {categories} categories)."
        )
    key = {
        "evidence": "statistics of teacher logits",
        "version": STATISTICS_VERSION,
        "logits": logits.fingerprint,
        "labels": sha256(labels.numpy().astype("<i8").tobytes()).hexdigest(),
    }

    def make(create: Create) -> None:
        views = len(logits["logits"])
        by_row = {name: create(name, (count,), "<f4") for name in ("true_probability", "margin", "entropy", "correct")}
        mass = torch.zeros(categories, categories, dtype=torch.float64)
        confusion = torch.zeros(categories, categories, dtype=torch.float64)
        for rows in torch.arange(count).split(STATISTICS_ROWS):
            part, truth = slice(int(rows[0]), int(rows[-1]) + 1), labels[rows]
            found = torch.from_numpy(logits["logits"][:, part].astype(np.float64)).softmax(-1)  # [V, rows, K]
            true = found.gather(2, truth.expand(views, -1)[..., None])
            others = found.scatter(2, truth.expand(views, -1)[..., None], 0.0)
            predicted = found.argmax(-1)
            by_row["true_probability"][part] = true[..., 0].mean(0).numpy()
            by_row["margin"][part] = (true[..., 0] - others.amax(-1)).mean(0).numpy()
            by_row["entropy"][part] = torch.special.entr(found).sum(-1).mean(0).numpy()
            by_row["correct"][part] = (predicted == truth).double().mean(0).numpy()
            mass.index_add_(0, truth, found.mean(0))
            pairs = (truth * categories + predicted).flatten()
            confusion += torch.bincount(pairs, minlength=categories**2).view(categories, categories) / views
        sizes = torch.bincount(labels, minlength=categories)
        create("mean_probability", (categories, categories), "<f8")[:] = (mass / sizes[:, None]).numpy()
        create("confusion", (categories, categories), "<f8")[:] = confusion.numpy()
        create("accuracy", (categories,), "<f8")[:] = (confusion.diagonal() / sizes).numpy()
        create("rows", (categories,), "<i8")[:] = sizes.numpy()

    return cache.get(key, make, what="statistics of the teacher's outputs")
