"""How good a student is on its task. Closed: logits [N, k]. Open: logits [N, k + 1], the last column "not selected".

Logits are taken in float64 on the CPU. What the rows leave undefined (a category without rows, a curve without rows of
both kinds) is nan. Every process that trains comes here, and a library of metrics would take it seconds to import.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from selkd.models.deploy import acceptance

_ANSWERS = ("accuracy", "in_task_accuracy", "reject_recall", "balanced", "macro_f1")
NAMES = {
    "closed": ("accuracy", "macro_f1", "nll", "calibration_error"),
    "open": (
        *_ANSWERS,
        *(f"{name}_at_threshold" for name in _ANSWERS),
        *("auroc", "aupr", "fpr_at_95_tpr", "oscr", "nll", "calibration_error"),
        *("always_reject", "always_reject_balanced"),
    ),
}
"""What is measured of the students of a mode, the recall of each category (`accuracy/NAME`) aside."""
BINS = 15
"""Bins of confidence in the calibration error (Guo et al. 2017)."""
ABOVE_EVERY_SCORE = 2.0
"""The threshold that rejects every row, in any precision: no score is above 1."""


def closed_metrics(logits: Tensor, labels: Tensor, names: Sequence[str]) -> dict[str, float]:
    """Metrics of a student that always picks one of its categories."""
    logits, labels = logits.double().cpu(), labels.cpu()
    assert logits.shape == (len(labels), len(names)), (logits.shape, labels.shape, names)
    matrix = confusion(logits.argmax(1), labels, len(names))
    return {
        "accuracy": _accuracy(matrix),
        "macro_f1": _macro_f1(matrix),
        **_likelihoods(logits, labels),
        **_recalls(matrix, names),
    }


def open_metrics(
    logits: Tensor, labels: Tensor, names: Sequence[str], threshold: float | None = None
) -> dict[str, float]:
    """Metrics of a student that may answer "not selected" (label k), by its largest logit and by its score.

    The score of a row is 1 - p(not selected); rows of the task are the positives. With a threshold, the answers
    under the rule of `rejection_threshold` are measured too.
    """
    logits, labels, k = logits.double().cpu(), labels.cpu(), len(names)
    assert logits.shape == (len(labels), k + 1), (logits.shape, labels.shape, names)
    answers = logits.argmax(1)
    score, inside = acceptance(logits), labels < k
    outside_share = _mean(~inside)
    found = {
        **_answers(answers, labels, k),
        **_detection(score, inside, correct=logits[:, :k].argmax(1) == labels),
        **_likelihoods(logits, labels),
        "always_reject": outside_share,
        "always_reject_balanced": 0.5 if 0 < outside_share < 1 else math.nan,
        **_recalls(confusion(answers, labels, k + 1), names),
    }
    if threshold is not None:
        decided = torch.where(score < threshold, k, logits[:, :k].argmax(1))
        found |= {f"{key}_at_threshold": value for key, value in _answers(decided, labels, k).items()}
    return found


def rejection_threshold(logits: Tensor, labels: Tensor) -> float:
    """The score below which rows should be rejected: it maximises the mean of in-task accuracy and reject recall.

    The rule is: reject when 1 - p(not selected) < threshold, else answer the best selected category. Thresholds lie
    halfway between neighbouring scores; of equally good ones the lowest is taken. Without rows of the task everything
    is rejected, without other rows nothing.
    """
    logits, labels = logits.double().cpu(), labels.cpu()
    k = logits.shape[1] - 1
    inside = labels < k
    correct = logits[:, :k].argmax(1) == labels
    scores, place = acceptance(logits).unique(return_inverse=True)

    def below(rows: Tensor) -> Tensor:
        """How many of `rows` each candidate rejects: the first none, the last all."""
        counts = torch.bincount(place[rows], minlength=len(scores)).cumsum(0)
        return torch.cat([counts.new_zeros(1), counts])

    kept, rejected = correct.sum() - below(correct), below(~inside)
    balanced = kept * (~inside).sum().clamp(min=1) + rejected * inside.sum().clamp(min=1)
    best = int((balanced == balanced.max()).nonzero()[0])
    if best == 0:
        return 0.0
    if best == len(scores):
        return ABOVE_EVERY_SCORE
    low, high = float(scores[best - 1]), float(scores[best])
    middle = (low + high) / 2
    return middle if middle > low else high


def confusion(predictions: Tensor, labels: Tensor, n: int) -> Tensor:
    """Counts [n, n]: rows are labels, columns predictions."""
    return torch.bincount(labels.cpu() * n + predictions.cpu(), minlength=n * n).view(n, n)


def _answers(answers: Tensor, labels: Tensor, k: int) -> dict[str, float]:
    right, inside = answers == labels, labels < k
    in_task, reject = _mean(right[inside]), _mean(right[~inside])
    return {
        "accuracy": _mean(right),
        "in_task_accuracy": in_task,
        "reject_recall": reject,
        "balanced": (in_task + reject) / 2,
        "macro_f1": _macro_f1(confusion(answers, labels, k + 1)),
    }


def _detection(score: Tensor, inside: Tensor, correct: Tensor) -> dict[str, float]:
    """How well the score tells rows of the task from others.

    OSCR (Dhamija et al. 2018) is the area under the share of in-task rows that are classified correctly and accepted,
    over the share of other rows accepted. It is the chance that a random in-task row is classified correctly and
    scores above a random other row, hence the in-task accuracy times the AUROC of the correct rows.
    """
    if inside.all() or not inside.any():
        return dict.fromkeys(("auroc", "aupr", "fpr_at_95_tpr", "oscr"), math.nan)
    scores, place = score.unique(return_inverse=True)

    def accepted(rows: Tensor) -> Tensor:
        """How many of `rows` score at least each threshold, from none of them to all."""
        counts = torch.bincount(place[rows], minlength=len(scores)).flip(0).cumsum(0)
        return torch.cat([counts.new_zeros(1), counts]).double()

    kept, right, wrong = accepted(inside), accepted(inside & correct), accepted(~inside)
    recall, false = kept / kept[-1], wrong / wrong[-1]
    precision = kept[1:] / (kept + wrong)[1:]
    return {
        "auroc": float(torch.trapezoid(recall, false)),
        "aupr": float((precision * recall.diff()).sum()),
        "fpr_at_95_tpr": float(false[recall >= 0.95][0]),
        "oscr": float(torch.trapezoid(right / kept[-1], false)),
    }


def _likelihoods(logits: Tensor, labels: Tensor) -> dict[str, float]:
    if not len(labels):
        return {"nll": math.nan, "calibration_error": math.nan}
    confidence, answers = logits.softmax(1).max(1)
    edges = torch.linspace(0, 1, BINS + 1, dtype=confidence.dtype)[1:-1]
    gaps = torch.bincount(
        torch.bucketize(confidence, edges, right=True), weights=(answers == labels).double() - confidence
    )
    return {
        "nll": float(F.cross_entropy(logits, labels)),
        "calibration_error": float(gaps.abs().sum() / len(labels)),
    }


def _accuracy(matrix: Tensor) -> float:
    return float(matrix.diagonal().sum().double() / matrix.sum())


def _recalls(matrix: Tensor, names: Sequence[str]) -> dict[str, float]:
    """Accuracy on the rows of each named category."""
    recalls = matrix.diagonal().double() / matrix.sum(1)
    return {f"accuracy/{name}": float(recall) for name, recall in zip(names, recalls, strict=False)}


def _macro_f1(matrix: Tensor) -> float:
    """Mean F1 of the categories that occur among labels or answers."""
    occurrences = matrix.sum(0) + matrix.sum(1)
    return float((2 * matrix.diagonal().double() / occurrences)[occurrences > 0].mean())


def _mean(flags: Tensor) -> float:
    return float(flags.double().mean())
