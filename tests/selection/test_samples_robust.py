"""The closed form of Robust Active Distillation solves its game."""

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor

from selkd.selection.samples.budget import capped
from selkd.selection.samples.robust import equilibrium

GENERATOR = torch.Generator().manual_seed(0)


def gains(n: int) -> Tensor:
    return torch.rand(n, generator=GENERATOR, dtype=torch.float64) + 0.01


def value_by_linear_program(g: np.ndarray, mistakes: float) -> float:
    """max v with sum_i (1 - w_i) p_i g_i >= v for every vertex w of the adversary's {0 <= w <= 1, sum w = m}."""
    n, whole, part = len(g), int(mistakes), mistakes - int(mistakes)
    rows = []
    for spoiled in combinations(range(n), whole):
        for half in [i for i in range(n) if i not in spoiled] if part else [0]:
            kept = np.ones(n)
            kept[list(spoiled)] = 0
            kept[half] -= part
            rows.append([*(-kept * g), 1.0])
    simplex = [[*np.ones(n), 0.0]]
    bounds = [(0, None)] * n + [(None, None)]
    found = linprog([*np.zeros(n), -1.0], rows, np.zeros(len(rows)), simplex, [1.0], bounds)
    return -found.fun


@pytest.mark.parametrize("n", [2, 4, 7])
@pytest.mark.parametrize("mistakes", [0, 1, 0.5, 1.7])
def test_the_value_is_that_of_the_linear_program(n: int, mistakes: float) -> None:
    for _ in range(4):
        g = gains(n)
        p, value = equilibrium(g, mistakes)
        assert value == pytest.approx(value_by_linear_program(g.numpy(), mistakes), abs=1e-9)
        worst = (p * g).sort(descending=True).values
        spoiled = worst[: int(mistakes)].sum() + (mistakes % 1) * worst[int(mistakes)]
        assert float(worst.sum() - spoiled) == pytest.approx(value, abs=1e-12)


def test_every_row_of_the_support_carries_the_same_gain() -> None:
    g = gains(50)
    p, _ = equilibrium(g, 8)
    carried = (p * g)[p > 0]
    assert float(p.sum()) == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(carried, carried[:1].expand_as(carried), rtol=1e-12, atol=0)
    assert float(g[p > 0].min()) > float(g[p == 0].max())


def test_more_mistakes_need_more_rows() -> None:
    g = gains(40)
    support = [int((equilibrium(g, m)[0] > 0).sum()) for m in (0, 0.5, 1, 2, 5, 10, 20, 39)]
    assert support == sorted(support)
    assert support[0] == 1
    assert int(equilibrium(g, 0)[0].argmax()) == int(g.argmax())


def test_a_budget_enlarges_the_support_so_that_no_row_repeats() -> None:
    g = gains(40)
    for budget in (1, 10, 39, 40):
        rates = capped(equilibrium(g, 3, at_least=budget)[0], budget)
        assert float(rates.sum()) == pytest.approx(budget)
        assert float(rates.max()) <= 1 + 1e-12


def test_rows_that_teach_nothing_are_finite_and_last() -> None:
    p, value = equilibrium(torch.tensor([0.0, 0.5, 0.4, 0.0]), 1)
    assert p.isfinite().all()
    assert value > 0
    assert p[[0, 3]].tolist() == [0, 0]


@pytest.mark.parametrize("mistakes", [-1, 3, 5])
def test_an_adversary_who_spoils_everything_is_refused(mistakes: float) -> None:
    with pytest.raises(ValueError, match="mistakes"):
        equilibrium(torch.ones(3), mistakes)
