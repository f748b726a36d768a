"""DDK's shares: a distribution with a floor, moved by ratios alone, and spent exactly."""

import pytest
import torch

from selkd.selection.samples.ddk import held_out, updated

RATIOS = torch.tensor([1.3, 0.2, 2.0, 0.9], dtype=torch.float64)
SHARES = torch.tensor([0.1, 0.4, 0.3, 0.2], dtype=torch.float64)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.95])
def test_shares_are_the_published_update_and_keep_their_floor(alpha: float) -> None:
    found = updated(SHARES, RATIOS, alpha)
    psi = SHARES * RATIOS.exp()
    torch.testing.assert_close(found, alpha * psi / psi.sum() + (1 - alpha) / 4, rtol=1e-12, atol=1e-14)
    assert float(found.sum()) == pytest.approx(1, abs=1e-12)
    assert float(found.min()) >= (1 - alpha) / 4


def test_equal_ratios_leave_uniform_shares_alone() -> None:
    uniform = torch.full((4,), 0.25, dtype=torch.float64)
    torch.testing.assert_close(updated(uniform, torch.full((4,), 1.7), 0.8), uniform, rtol=1e-12, atol=0)


def test_without_alpha_shares_are_uniform_for_ever() -> None:
    assert updated(SHARES, RATIOS, 0.0).tolist() == [0.25] * 4


def test_shares_follow_their_categories_and_no_common_shift() -> None:
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(updated(SHARES[order], RATIOS[order], 0.6), updated(SHARES, RATIOS, 0.6)[order])
    torch.testing.assert_close(updated(SHARES, RATIOS - 7, 0.6), updated(SHARES, RATIOS, 0.6))


def test_a_ratio_without_bound_stays_finite() -> None:
    found = updated(SHARES, torch.tensor([torch.inf, 1e30, 1.0, 2.0]), 0.9)
    assert found.isfinite().all()
    assert float(found.sum()) == pytest.approx(1)


def test_every_category_with_two_rows_measures_with_one_and_trains_with_one() -> None:
    labels = torch.tensor([0] * 30 + [1] * 2 + [3])
    luck = torch.rand(len(labels), generator=torch.Generator().manual_seed(0))
    for share, wanted in ((0.1, [3, 1, 0, 0]), (0.9, [27, 1, 0, 0])):
        measures = held_out(luck, labels, share)
        assert torch.bincount(labels[measures], minlength=4).tolist() == wanted
