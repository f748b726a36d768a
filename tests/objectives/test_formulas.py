"""The losses against independent formulas, and the published code's golden numbers."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from selkd.objectives import REGISTRY, Context, View, official
from selkd.objectives.truth import truth_loss


def make(name: str, ids: Tensor, mode: str, **settings: Any) -> Any:
    cls = REGISTRY[name]
    counts = torch.ones(len(ids) + (mode == "open"), dtype=torch.float64)
    return cls(cls.Settings(**settings), Context(ids, mode, counts))  # pyright: ignore[reportArgumentType]


def logits(rows: int, columns: int, seed: int = 0) -> Tensor:
    return 3 * torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_plain_truth_is_torchs_cross_entropy() -> None:
    z, labels = logits(9, 4), torch.arange(9) % 4
    ours = truth_loss("cross-entropy", z, F.one_hot(labels, 4).double(), torch.ones(4))
    torch.testing.assert_close(ours, F.cross_entropy(z, labels, reduction="none"))


def test_logit_adjustment_makes_the_prior_of_a_constant_network_free() -> None:
    """With logits of zero the adjusted loss is the entropy term of the prior: -log prior of the label."""
    counts = torch.tensor([10.0, 30.0, 60.0], dtype=torch.float64)
    ours = truth_loss(
        "logit-adjusted", torch.zeros(3, 3, dtype=torch.float64), torch.eye(3, dtype=torch.float64), counts
    )
    torch.testing.assert_close(ours, -(counts / 100).log())


def test_class_balance_weighs_every_category_alike() -> None:
    counts = torch.tensor([10.0, 30.0, 60.0], dtype=torch.float64)
    labels = torch.repeat_interleave(torch.arange(3), counts.long())
    ours = truth_loss("class-balanced", torch.zeros(100, 3, dtype=torch.float64), F.one_hot(labels, 3).double(), counts)
    by_category = torch.stack([ours[labels == c].sum() for c in range(3)])
    torch.testing.assert_close(by_category, by_category[:1].expand(3))
    torch.testing.assert_close(ours.mean(), torch.tensor(math.log(3), dtype=torch.float64))


@pytest.mark.parametrize("heat", [1.0, 4.0])
def test_selkd_with_free_columns_is_kd(heat: float) -> None:
    ids = torch.tensor([2, 0, 5])
    view = View(logits(8, 3), F.one_hot(torch.arange(8) % 3, 3).double(), logits(8, 6, 1), 8)
    ours = make("selkd", ids, "closed", epsilon=heat, teacher_columns="free").terms(view)["teacher"]
    kd = make("kd", ids, "closed", temperature=heat).terms(view)["teacher"]
    p, q = (view.teacher[:, ids] / heat).log_softmax(1), (view.student / heat).log_softmax(1)  # pyright: ignore
    torch.testing.assert_close(ours, kd)
    torch.testing.assert_close(kd, heat**2 * F.kl_div(q, p, reduction="none", log_target=True).sum(1))


def test_open_kd_merges_unselected_categories_into_one_column() -> None:
    ids, tau = torch.tensor([1, 3]), 2.0
    view = View(logits(5, 3), F.one_hot(torch.arange(5) % 3, 3).double(), logits(5, 6, 1), 5)
    assert view.teacher is not None
    probabilities = (view.teacher / tau).softmax(1)
    p = torch.cat([probabilities[:, ids], probabilities[:, [0, 2, 4, 5]].sum(1, keepdim=True)], 1)
    expected = tau**2 * (p * (p.log() - (view.student / tau).log_softmax(1))).sum(1)
    torch.testing.assert_close(make("kd", ids, "open", temperature=tau).terms(view)["teacher"], expected)


def test_closed_selkd_corrects_the_teacher_to_the_target_prior() -> None:
    """The loss's minimum over the student is the column-constrained plan: its columns have the target's masses."""
    ids = torch.arange(3)
    view = View(
        logits(30, 3).requires_grad_(),
        F.one_hot(torch.arange(30) % 3, 3).double(),
        logits(30, 3, 1) + 2 * torch.arange(3),
        30,
    )
    objective = make(
        "selkd", ids, "closed", epsilon=1.0, target=(0.5, 0.3, 0.2), tolerance=1e-10, max_iterations=10_000
    )
    student = torch.zeros(30, 3, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([student], max_iter=300, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = objective.terms(View(student, view.targets, view.teacher, 30))["teacher"].sum()
        value.backward()
        return value

    optimiser.step(loss)  # pyright: ignore[reportArgumentType]
    torch.testing.assert_close(
        student.detach().softmax(1).mean(0), torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), rtol=0, atol=1e-4
    )
    assert loss().detach() < 1e-6


def test_open_selkd_ignores_row_offsets_of_both_networks() -> None:
    ids = torch.tensor([2, 0, 5])
    targets = F.one_hot(torch.arange(8) % 4, 4).double()
    view = View(logits(8, 4), targets, logits(8, 6, 1), 8)
    shifted = View(view.student + logits(8, 1, 2), targets, view.teacher + logits(8, 1, 3), 8)  # pyright: ignore
    objective = make("selkd", ids, "open", epsilon=2.0)
    torch.testing.assert_close(objective.terms(view)["teacher"], objective.terms(shifted)["teacher"])
    raw = make("selkd", ids, "open", epsilon=2.0, normalise="raw")
    assert (raw.terms(view)["teacher"] - raw.terms(shifted)["teacher"]).abs().max() > 1e-3


def test_open_selkd_trains_the_reject_output() -> None:
    view = View(logits(8, 4).requires_grad_(), F.one_hot(torch.arange(8) % 4, 4).double(), logits(8, 6, 1), 8)
    make("selkd", torch.tensor([2, 0, 5]), "open").terms(view)["teacher"].sum().backward()
    assert view.student.grad is not None
    assert view.student.grad[:, -1].abs().max() > 1e-3


def golden(columns: int, scale: float, shift: float) -> Tensor:
    i, c = torch.arange(6.0)[:, None], torch.arange(float(columns))
    return scale * torch.sin(1.7 * i + 0.9 * c + shift)


@pytest.mark.parametrize(
    ("mode", "labels", "loss", "norm"),
    [
        ("closed", [0, 3, 6, 9, 12, 0], 0.00203570, 0.00062592),
        ("open", [0, 3, 6, 20, 20, 9], 56.20645, 0.6614528),
    ],
)
def test_parity_gives_the_published_codes_numbers(mode: str, labels: list[int], loss: float, norm: float) -> None:
    outputs = 20 if mode == "closed" else 21
    student = golden(outputs, 3.0, 0.3).requires_grad_()
    view = View(student, F.one_hot(torch.tensor(labels), outputs).float(), golden(100, 5.0, 0.8), 6)
    term = make("selkd", torch.arange(20), mode, parity="official").terms(view)["teacher"].mean()
    term.backward()
    assert student.grad is not None
    assert float(term.detach()) == pytest.approx(loss, rel=2e-3 if mode == "closed" else 1e-5)
    assert float(student.grad.norm()) == pytest.approx(norm, rel=1e-5 if mode == "open" else 2e-3)


def test_parity_plans_are_the_published_ones() -> None:
    targets = F.one_hot(torch.tensor([0, 3, 6, 9, 12, 0]), 20).float()
    for scores, row in [
        (golden(20, 3.0, 0.3), [0.145017, 0.108916, 0.245375]),
        (golden(100, 5.0, 0.8)[:, :20], [0.089649, 0.154741, 0.226279]),
    ]:
        torch.testing.assert_close(official._sinkhorn(scores, targets)[0, :3], torch.tensor(row), rtol=0, atol=1e-5)
    opened = F.one_hot(torch.tensor([0, 3, 6, 20, 20, 9]), 21).float()
    plan = official._clipped(golden(21, 3.0, 0.3), opened, torch.tensor(4.0), 3)
    torch.testing.assert_close(plan[0, :3], torch.tensor([0.0797454, 0.0895359, 0.1504294]), rtol=0, atol=1e-5)
