"""How good a student is on its task. Closed: logits [N, k]. Open: logits [N, k + 1], the last column "not selected".

Logits are taken in float64 on the CPU; torchmetrics divides its counts in float32, which costs at most 1e-7. What the
rows leave undefined (a category without rows, a curve without rows of both kinds) is nan.
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
        "macro_f1": _macro_f1(logits.argmax(1), labels, len(names)),
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
        "macro_f1": _macro_f1(answers, labels, k + 1),
    }


def _detection(score: Tensor, inside: Tensor, correct: Tensor) -> dict[str, float]:
    """How well the score tells rows of the task from others.

    OSCR (Dhamija et al. 2018) is the area under the share of in-task rows that are classified correctly and accepted,
    over the share of other rows accepted. It is the chance that a random in-task row is classified correctly and
    scores above a random other row, hence the in-task accuracy times the AUROC of the correct rows.
    """
    if inside.all() or not inside.any():
        return dict.fromkeys(("auroc", "aupr", "fpr_at_95_tpr", "oscr"), math.nan)
    from torchmetrics.functional import classification as tm  # its import takes seconds

    kept = correct | ~inside
    accuracy = _mean(correct[inside])
    specificity, _ = tm.binary_specificity_at_sensitivity(score, inside.long(), min_sensitivity=0.95)
    return {
        "auroc": float(tm.binary_auroc(score, inside.long())),
        "aupr": float(tm.binary_average_precision(score, inside.long())),
        "fpr_at_95_tpr": 1 - float(specificity),
        "oscr": accuracy * float(tm.binary_auroc(score[kept], inside[kept].long())) if accuracy else 0.0,
    }


def _likelihoods(logits: Tensor, labels: Tensor) -> dict[str, float]:
    if not len(labels):
        return {"nll": math.nan, "calibration_error": math.nan}
    from torchmetrics.functional import classification as tm

    error = tm.multiclass_calibration_error(
        logits.softmax(1), labels, logits.shape[1], n_bins=BINS, validate_args=False
    )
    return {"nll": float(F.cross_entropy(logits, labels)), "calibration_error": float(error)}


def _accuracy(matrix: Tensor) -> float:
    return float(matrix.diagonal().sum().double() / matrix.sum())


def _recalls(matrix: Tensor, names: Sequence[str]) -> dict[str, float]:
    """Accuracy on the rows of each named category."""
    recalls = matrix.diagonal().double() / matrix.sum(1)
    return {f"accuracy/{name}": float(recall) for name, recall in zip(names, recalls, strict=False)}


def _macro_f1(answers: Tensor, labels: Tensor, n: int) -> float:
    """Mean F1 of the categories that occur among labels or answers."""
    if not len(labels):
        return math.nan
    from torchmetrics.functional import classification as tm

    return float(tm.multiclass_f1_score(answers, labels, n, average="macro", validate_args=False))


def _mean(flags: Tensor) -> float:
    return float(flags.double().mean())
