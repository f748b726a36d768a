"""Scores agree with their definitions; what is kept is nested, balanced where asked, and ties go to the first row."""

import itertools

import pytest
import torch
from torch import Tensor

from selkd.selection.samples.ranking import Zone, balanced, doubt, el2n, entropy, kept, one_of_each, preferred

N, OUTPUTS = 40, 4
GENERATOR = torch.Generator().manual_seed(0)
PROBABILITIES = torch.randn(N, OUTPUTS, generator=GENERATOR, dtype=torch.float64).mul(2).softmax(1)
LABELS = torch.tensor([0] * 20 + [1] * 10 + [2] * 8 + [3] * 2)[torch.randperm(N, generator=GENERATOR)]
SCORES = torch.rand(N, generator=GENERATOR, dtype=torch.float64)


def test_scores_are_their_definitions() -> None:
    for row, (p, label) in enumerate(zip(PROBABILITIES.tolist(), LABELS.tolist(), strict=True)):
        truth = [float(c == label) for c in range(OUTPUTS)]
        best = max(v for c, v in enumerate(p) if c != label)
        distance = sum((a - b) ** 2 for a, b in zip(p, truth, strict=True)) ** 0.5
        assert float(el2n(PROBABILITIES, LABELS)[row]) == pytest.approx(distance)
        assert float(doubt(PROBABILITIES, LABELS)[row]) == pytest.approx(1 - p[label] + best)
    assert float(entropy(torch.full((1, OUTPUTS), 1 / OUTPUTS))[0]) == pytest.approx(
        torch.tensor(float(OUTPUTS)).log().item()
    )
    sure = torch.eye(OUTPUTS)
    assert not any(
        score.any() for score in (el2n(sure, torch.arange(OUTPUTS)), doubt(sure, torch.arange(OUTPUTS)), entropy(sure))
    )


def orders() -> dict[str, Tensor]:
    found = {zone: preferred(SCORES, zone) for zone in ("hard", "easy", "middle")}
    found |= {f"{zone} balanced": balanced(order, LABELS) for zone, order in found.items()}
    return found | {f"{zone} one": one_of_each(order, LABELS) for zone, order in found.items()}


@pytest.mark.parametrize("name", orders())
def test_an_order_holds_every_row_once_so_that_kept_rows_are_nested(name: str) -> None:
    order = orders()[name]
    assert order.sort().values.tolist() == list(range(N))
    rates = [kept(order[:count], N) for count in range(1, N + 1)]
    assert [int(found.sum()) for found in rates] == list(range(1, N + 1))
    assert all(bool((few <= more).all()) for few, more in itertools.pairwise(rates))


def test_zones_are_the_top_the_bottom_and_the_centre_of_the_scores() -> None:
    ranked = SCORES.sort().values
    zones: list[tuple[Zone, Tensor]] = [("hard", ranked[-10:]), ("easy", ranked[:10]), ("middle", ranked[15:25])]
    for zone, wanted in zones:
        assert SCORES[preferred(SCORES, zone)[:10]].sort().values.tolist() == wanted.tolist()


def test_equal_scores_prefer_the_first_rows() -> None:
    assert preferred(torch.ones(5), "hard").tolist() == [0, 1, 2, 3, 4]
    assert preferred(torch.ones(5), "easy").tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("count", [20, 10, 30])
def test_balance_keeps_the_share_of_every_category_exactly(count: int) -> None:
    mine = LABELS[balanced(preferred(SCORES, "hard"), LABELS)[:count]]
    shares = torch.bincount(LABELS) * count / N
    exact = shares == shares.round()
    assert exact.sum() >= 2
    assert torch.equal(torch.bincount(mine, minlength=OUTPUTS)[exact], shares[exact].long())
    assert bool(((torch.bincount(mine, minlength=OUTPUTS) - shares).abs() < 1).all())


def test_balance_keeps_the_hardest_of_every_category() -> None:
    rows = balanced(preferred(SCORES, "hard"), LABELS)[:20]
    for category in range(OUTPUTS):
        mine = LABELS.eq(category).nonzero().flatten()
        chosen = [row for row in rows.tolist() if row in mine.tolist()]
        assert set(chosen) == set(mine[SCORES[mine].argsort(descending=True)][: len(chosen)].tolist())


def test_one_of_each_empties_no_category() -> None:
    scores = torch.where(LABELS == 3, 0.0, SCORES)
    assert 3 not in LABELS[preferred(scores, "hard")[:OUTPUTS]]
    order = one_of_each(preferred(scores, "hard"), LABELS)
    assert LABELS[order[:OUTPUTS]].sort().values.tolist() == list(range(OUTPUTS))
    assert set(preferred(scores, "hard")[:6].tolist()) <= set(order[: 6 + OUTPUTS].tolist())


def test_noisy_labels_rank_high_under_el2n() -> None:
    """Why keeping the hardest keeps the noise: a wrong label of a sure row has the largest score there is."""
    sure = torch.eye(OUTPUTS).repeat(10, 1) * 0.96 + 0.01
    labels = torch.arange(N) % OUTPUTS
    labels[[3, 17]] = (labels[[3, 17]] + 1) % OUTPUTS
    assert set(preferred(el2n(sure, labels), "hard")[:2].tolist()) == {3, 17}
