"""Metrics agree with scikit-learn and with counting by hand, and are nan where they are undefined."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn import metrics as reference
from torch import Tensor

from selkd.training.metrics import closed_metrics, confusion, open_metrics, rejection_threshold

CLOSE = 1e-12


def draw(rows: int, outputs: int, seed: int = 0, signal: float = 1.0, tied: bool = False) -> tuple[Tensor, Tensor]:
    """Labels and logits with some signal; tied, rows of different labels share their logits."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(outputs, (rows,), generator=generator)
    logits = torch.randn(rows, outputs, generator=generator, dtype=torch.float64)
    logits += signal * torch.nn.functional.one_hot(labels, outputs)
    return (logits[torch.randint(rows // 4, (rows,), generator=generator)] if tied else logits), labels


def letters(count: int) -> list[str]:
    return list("abcdefgh"[:count])


def score_of(logits: Tensor) -> np.ndarray:
    return (1 - logits.softmax(1)[:, -1]).numpy()


@pytest.mark.parametrize("seed", range(3))
def test_closed_metrics_agree_with_scikit_learn(seed: int):
    logits, labels = draw(300, 5, seed)
    found, answers = closed_metrics(logits, labels, letters(5)), logits.argmax(1)
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(labels, answers), abs=1e-12)
    assert found["macro_f1"] == pytest.approx(reference.f1_score(labels, answers, average="macro"), abs=CLOSE)
    assert found["nll"] == pytest.approx(reference.log_loss(labels, logits.softmax(1)), abs=1e-12)
    for category, name in enumerate(letters(5)):
        recall = reference.recall_score(labels == category, answers == category)
        assert found[f"accuracy/{name}"] == pytest.approx(recall, abs=1e-12)
    assert set(found) == {"accuracy", "macro_f1", "nll", "calibration_error"} | {f"accuracy/{c}" for c in letters(5)}


def test_calibration_error_is_the_mean_gap_of_fifteen_bins():
    logits, labels = draw(500, 4)
    confidence, answers = logits.softmax(1).max(1)
    gap = 0.0
    for low in range(15):
        rows = (confidence >= low / 15) & (confidence < (low + 1) / 15)
        if rows.any():
            right = (answers == labels)[rows].double().mean()
            gap += float(rows.double().mean() * (right - confidence[rows].mean()).abs())
    assert closed_metrics(logits, labels, letters(4))["calibration_error"] == pytest.approx(gap, abs=CLOSE)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("tied", [False, True])
def test_open_metrics_agree_with_scikit_learn(seed: int, tied: bool):
    logits, labels = draw(400, 4, seed, tied=tied)
    found, answers = open_metrics(logits, labels, letters(3)), logits.argmax(1)
    inside, score = labels < 3, score_of(logits)
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(labels, answers), abs=1e-12)
    assert found["in_task_accuracy"] == pytest.approx((answers == labels)[inside].double().mean().item(), abs=1e-12)
    assert found["reject_recall"] == pytest.approx((answers == 3)[~inside].double().mean().item(), abs=1e-12)
    assert found["balanced"] == pytest.approx((found["in_task_accuracy"] + found["reject_recall"]) / 2)
    assert found["macro_f1"] == pytest.approx(reference.f1_score(labels, answers, average="macro"), abs=CLOSE)
    assert found["auroc"] == pytest.approx(reference.roc_auc_score(inside, score), abs=CLOSE)
    assert found["aupr"] == pytest.approx(reference.average_precision_score(inside, score), abs=CLOSE)
    fpr, tpr, _ = reference.roc_curve(inside, score, drop_intermediate=False)
    assert found["fpr_at_95_tpr"] == pytest.approx(fpr[tpr >= 0.95].min(), abs=CLOSE)
    assert found["nll"] == pytest.approx(reference.log_loss(labels, logits.softmax(1)), abs=1e-12)


def brute_force_oscr(logits: Tensor, labels: Tensor) -> float:
    """Area under correct classification rate over false positive rate, one threshold at a time."""
    k = logits.shape[1] - 1
    score, best = score_of(logits), logits[:, :k].argmax(1).numpy()
    truth = labels.numpy()
    inside = truth < k
    points = [(0.0, 0.0)]
    for threshold in sorted(set(score), reverse=True):
        accepted = score >= threshold
        rate = (accepted & inside & (best == truth)).sum() / inside.sum()
        points.append(((accepted & ~inside).sum() / (~inside).sum(), rate))
    return sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in pairwise(points))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("tied", [False, True])
def test_oscr_agrees_with_a_brute_force_count(seed: int, tied: bool):
    logits, labels = draw(150, 4, seed, tied=tied)
    assert open_metrics(logits, labels, letters(3))["oscr"] == pytest.approx(
        brute_force_oscr(logits, labels), abs=CLOSE
    )


def test_oscr_of_a_perfect_student_is_one_and_without_a_correct_row_zero():
    labels = torch.arange(30) % 3
    perfect = 50.0 * torch.nn.functional.one_hot(labels, 3).double()
    assert open_metrics(perfect, labels, letters(2))["oscr"] == 1
    assert open_metrics(perfect[:, [1, 0, 2]], labels, letters(2))["oscr"] == 0


@pytest.mark.parametrize("positives", [20, 40, 60])
def test_95_percent_of_the_positives_is_reached_exactly(positives: int):
    """One in twenty positives scores below every negative; none of the negatives is accepted at exactly 95 %."""
    low = positives // 20
    margin = torch.cat([torch.full((positives - low,), 3.0), torch.full((low,), -3.0), torch.zeros(10)]).double()
    labels = torch.cat([torch.zeros(positives), torch.ones(10)]).long()
    logits = torch.stack([margin, torch.zeros_like(margin)], 1)
    assert open_metrics(logits, labels, letters(1))["fpr_at_95_tpr"] == pytest.approx(0, abs=CLOSE)


def test_always_rejecting_is_shown_beside_the_student():
    logits, labels = draw(200, 3)
    found = open_metrics(logits, labels, letters(2))
    assert found["always_reject"] == pytest.approx((labels == 2).double().mean().item())
    assert found["always_reject_balanced"] == 0.5
    rejecting = logits.clone()
    rejecting[:, 2] = 100
    assert open_metrics(rejecting, labels, letters(2))["accuracy"] == found["always_reject"]


def balanced_under(logits: Tensor, labels: Tensor, threshold: float) -> float:
    k = logits.shape[1] - 1
    answers = torch.where(torch.from_numpy(score_of(logits)) < threshold, k, logits[:, :k].argmax(1))
    right = (answers == labels).double()
    return float((right[labels < k].mean() + right[labels == k].mean()) / 2)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("tied", [False, True])
def test_the_threshold_is_the_best_of_all(seed: int, tied: bool):
    logits, labels = draw(80, 4, seed, signal=2, tied=tied)
    threshold = rejection_threshold(logits, labels)
    scores = sorted(set(score_of(logits)))
    candidates = [0.0, *((a + b) / 2 for a, b in pairwise(scores)), 2.0]
    best = max(balanced_under(logits, labels, t) for t in candidates)
    assert balanced_under(logits, labels, threshold) == pytest.approx(best, abs=1e-12)
    found = open_metrics(logits, labels, letters(3), threshold)
    assert found["balanced_at_threshold"] == pytest.approx(best, abs=1e-12)
    assert found["balanced_at_threshold"] >= found["balanced"]


def test_of_equally_good_thresholds_the_lowest_is_taken_whatever_the_order_of_rows():
    margin = torch.tensor([-2.0, -1.0, 1.0, 2.0], dtype=torch.float64)
    logits, labels = torch.stack([margin, torch.zeros(4)], 1), torch.tensor([1, 0, 1, 0])
    expected = torch.sigmoid(margin[:2]).mean().item()  # both 1/2 < t < 1 and this one give 3/4
    for order in ([0, 1, 2, 3], [3, 1, 0, 2], [2, 3, 1, 0]):
        assert rejection_threshold(logits[order], labels[order]) == pytest.approx(expected)


def test_the_threshold_rejects_all_or_nothing_where_that_is_best():
    logits, labels = draw(50, 3)
    nothing = rejection_threshold(logits, labels.clamp(max=1))
    assert nothing == 0
    everything = rejection_threshold(logits, torch.full_like(labels, 2))
    assert (score_of(logits) < everything).all()
    assert rejection_threshold(logits[:0], labels[:0]) == 0


def test_metrics_at_the_threshold_follow_its_rule():
    logits = torch.tensor([[2.0, 1.0, 1.9], [0.0, 1.0, 0.9], [0.0, 0.0, 5.0]], dtype=torch.float64)
    labels = torch.tensor([0, 1, 2])
    accepting = open_metrics(logits, labels, letters(2), threshold=0.0)
    assert (accepting["in_task_accuracy_at_threshold"], accepting["reject_recall_at_threshold"]) == (1, 0)
    rejecting = open_metrics(logits, labels, letters(2), threshold=1.0)
    assert (rejecting["in_task_accuracy_at_threshold"], rejecting["reject_recall_at_threshold"]) == (0, 1)
    assert rejecting["accuracy_at_threshold"] == rejecting["always_reject"]
    assert not any(key.endswith("_at_threshold") for key in open_metrics(logits, labels, letters(2)))


def test_a_score_at_the_threshold_is_accepted():
    found = open_metrics(torch.zeros(2, 2), torch.tensor([0, 1]), ["a"], threshold=0.5)
    assert (found["in_task_accuracy_at_threshold"], found["reject_recall_at_threshold"]) == (1, 0)


def test_confusion_has_labels_in_rows():
    found = confusion(torch.tensor([0, 1, 1, 2]), torch.tensor([0, 0, 1, 1]), 4)
    assert torch.equal(found, torch.tensor([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]))
    assert confusion(torch.zeros(0).long(), torch.zeros(0).long(), 2).tolist() == [[0, 0], [0, 0]]


def undefined(found: dict[str, float]) -> set[str]:
    return {key for key, value in found.items() if math.isnan(value)}


CURVES = {"auroc", "aupr", "fpr_at_95_tpr", "oscr"}
HALVES = {"balanced", "always_reject_balanced", "balanced_at_threshold"}


def test_without_rows_everything_is_undefined():
    logits, labels = draw(0, 3)
    assert undefined(closed_metrics(logits, labels, letters(3))) == set(closed_metrics(logits, labels, letters(3)))
    found = open_metrics(logits, labels, letters(2), 0.5)
    assert undefined(found) == set(found)


def test_without_rows_of_the_task_what_needs_them_is_undefined():
    logits, _ = draw(20, 3)
    found = open_metrics(logits, torch.full((20,), 2), letters(2), 0.5)
    missing = {"in_task_accuracy", "in_task_accuracy_at_threshold", "accuracy/a", "accuracy/b"}
    assert undefined(found) == CURVES | HALVES | missing


def test_without_other_rows_what_needs_them_is_undefined():
    logits, labels = draw(20, 3)
    found = open_metrics(logits, labels % 2, letters(2), 0.5)
    assert undefined(found) == CURVES | HALVES | {"reject_recall", "reject_recall_at_threshold"}


def test_a_category_without_rows_has_no_accuracy_and_does_not_count_in_f1():
    logits, labels = torch.eye(3).double()[:2] * 9, torch.tensor([0, 1])
    found = closed_metrics(logits, labels, letters(3))
    assert undefined(found) == {"accuracy/c"}
    assert found["macro_f1"] == 1


def test_a_task_of_one_category_is_measured():
    logits, labels = draw(30, 2)
    assert undefined(open_metrics(logits, labels, ["a"], 0.5)) == set()
    alone = closed_metrics(logits[:, :1], torch.zeros(30).long(), ["a"])
    assert alone == {"accuracy": 1, "macro_f1": 1, "nll": 0, "calibration_error": 0, "accuracy/a": 1}


def test_a_reject_column_of_minus_infinity_never_rejects():
    """A teacher whose categories are all selected has nothing to merge into that column."""
    logits, labels = draw(30, 3)
    logits[:, 2] = -torch.inf
    found = open_metrics(logits, labels % 2, letters(2), rejection_threshold(logits, labels % 2))
    assert math.isfinite(found["nll"]) and found["accuracy"] == found["accuracy_at_threshold"]


def test_large_logits_keep_their_order():
    """1 - p rounds to 0 in float32 where p(not selected) is close to 1; the score does not."""
    margin = torch.tensor([-60.0, -50.0, -40.0, -30.0])
    logits, labels = torch.stack([margin, torch.zeros(4)], 1), torch.tensor([1, 1, 0, 0])
    assert open_metrics(logits, labels, ["a"])["auroc"] == 1
    assert open_metrics(logits, labels, ["a"], rejection_threshold(logits, labels))["balanced_at_threshold"] == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_any_precision_is_measured_as_the_same_numbers_in_float64(dtype: torch.dtype):
    logits, labels = draw(60, 4)
    logits = logits.to(dtype)
    assert open_metrics(logits, labels, letters(3)) == open_metrics(logits.double(), labels, letters(3))
