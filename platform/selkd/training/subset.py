"""Which categories a run is about, chosen before its task is made."""

from collections.abc import Callable

import numpy as np
import torch

from selkd.config import RunConfig
from selkd.data import Dataset, Part, Task
from selkd.errors import UserError
from selkd.selection import CATEGORIES, CategoryEvidence
from selkd.selection.categories import Choice


def choose(config: RunConfig, dataset: Dataset, train: Part, ask_teacher: Callable[[], np.ndarray]) -> Choice:
    """What the category policy chooses from the training rows alone."""
    settings = config.selection.categories
    evidence = CategoryEvidence(
        categories=dataset.categories,
        superclasses=dataset.superclasses,
        rows=tuple(torch.bincount(train.labels, minlength=len(dataset.categories)).tolist()),
        named=Task(config.task.categories).on(dataset).names,
        ask_teacher=ask_teacher if settings.needs_teacher else None,
    )
    policy = CATEGORIES[settings.policy](settings)
    try:
        return policy.choose(evidence, config.seed)
    except UserError as error:
        raise UserError(f"selection.categories.{error}") from None
