"""How well a student answers as it is deployed, threshold included, and how sure its test rows make us of that.

A share has Wilson's interval (Wilson 1927). The balanced accuracy of an open student is the mean of two independent
shares: its interval combines theirs by MOVER (Zou and Donner 2008), (l, u) = m -+ |(p1 - l1, p2 - l2)| / 2.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.stats import binomtest

from selkd.data.tasks import NOT_SELECTED
from selkd.models.deploy import acceptance
from selkd.tracking import StudentCard

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number between 0 and 1 with its interval, and the rows it was measured on."""

    name: str
    value: float
    low: float
    high: float
    rows: int


def estimates(predictions: pd.DataFrame, card: StudentCard) -> list[Estimate]:
    """What recorded predictions say of the student: the whole first, then the recall of each category.

    Without rows of a kind there is no estimate of it.
    """
    answers, labels = _deployed(predictions, card), predictions["label"].to_numpy()
    right, inside = answers == labels, labels != NOT_SELECTED
    found = [*_whole(right, inside, card)]
    found += [_share(name, right[labels == name]) for name in card.categories]
    return [one for one in found if one is not None]


def _whole(right: np.ndarray, inside: np.ndarray, card: StudentCard) -> "Iterator[Estimate | None]":
    if card.mode == "closed":
        yield _share("accuracy", right)
        return
    answered, rejected = _share("in-task accuracy", right[inside]), _share("reject recall", right[~inside])
    yield _mean("balanced", answered, rejected)
    yield answered
    yield rejected


def _deployed(predictions: pd.DataFrame, card: StudentCard) -> np.ndarray:
    """The answers that the deployed student gives: an open one rejects by its threshold."""
    scores = torch.tensor(predictions[[f"score/{name}" for name in card.outputs]].to_numpy(dtype=np.float64))
    k = len(card.categories)
    best = scores[:, :k].argmax(1)
    if card.threshold is not None:
        best = torch.where(acceptance(scores) < card.threshold, k, best)
    return np.asarray((*card.categories, NOT_SELECTED), dtype=object)[best.numpy()]


def _share(name: str, right: np.ndarray) -> Estimate | None:
    if not len(right):
        return None
    found = binomtest(int(right.sum()), len(right)).proportion_ci(LEVEL, method="wilson")
    return Estimate(name, float(right.mean()), float(found.low), float(found.high), len(right))


def _mean(name: str, first: Estimate | None, second: Estimate | None) -> Estimate | None:
    if first is None or second is None:
        return None
    middle = (first.value + second.value) / 2
    below = math.hypot(first.value - first.low, second.value - second.low) / 2
    above = math.hypot(first.high - first.value, second.high - second.value) / 2
    return Estimate(name, middle, middle - below, middle + above, first.rows + second.rows)
