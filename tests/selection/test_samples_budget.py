"""Rates become exact counts, without bias."""

import pytest
import torch

from selkd.selection.samples.budget import capped, spread, systematic


@pytest.mark.parametrize("seed", range(20))
def test_counts_are_rates_rounded_and_sum_to_the_budget(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    rates = spread(torch.rand(97, generator=generator) ** 3, 31 + 10 * seed)
    counts = systematic(rates, float(torch.rand((), generator=generator)))
    assert int(counts.sum()) == 31 + 10 * seed
    assert bool((counts >= rates.floor() - 1e-9).all())
    assert bool((counts <= (rates - 1e-9).ceil()).all())


def test_counts_are_unbiased_over_all_starts() -> None:
    """Rates in twelfths: starts in steps of a twelfth are all that matter, so their mean is the exact expectation."""
    rates = torch.tensor([1, 4, 0, 12, 7, 18, 6], dtype=torch.float64) / 12
    counts = torch.stack([systematic(rates, (2 * start + 1) / 24) for start in range(12)]).double()
    torch.testing.assert_close(counts.mean(0), rates, rtol=0, atol=1e-12)


def test_whole_rates_need_no_luck() -> None:
    rates = torch.tensor([0.0, 1.0, 2.0, 1.0, 0.0])
    for start in (0.0, 0.3, 0.999999):
        assert systematic(rates, start).tolist() == [0, 1, 2, 1, 0]


@pytest.mark.parametrize("budget", [1, 3, 7, 19, 20])
def test_capped_rates_are_proportional_below_one_and_spend_the_budget(budget: int) -> None:
    weights = torch.rand(20, generator=torch.Generator().manual_seed(budget), dtype=torch.float64) ** 2
    rates = capped(weights, budget)
    assert float(rates.sum()) == pytest.approx(budget, abs=1e-12)
    assert float(rates.max()) <= 1 + 1e-12
    below = rates < 1 - 1e-12
    scale = (rates / weights)[below]
    assert below.sum() < 2 or float(scale.max() - scale.min()) < 1e-9 * float(scale.max())
    assert not below.any() or bool((weights[~below] * scale[0] >= 1 - 1e-9).all())


def test_as_many_positive_weights_as_the_budget_are_all_used_once() -> None:
    assert capped(torch.tensor([0.0, 5.0, 0.1, 0.0]), 2).tolist() == [0, 1, 1, 0]
