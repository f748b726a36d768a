"""KD3's bars: adaptive by category, nested in the cutoff, on a mixture that moves from teacher to student."""

import itertools

import pytest
import torch

from selkd.selection.samples.kd3 import confident, teacher_share, thresholds

PROBABILITIES = torch.randn(200, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64).mul(2).softmax(1)


def test_thresholds_rise_with_the_count_up_to_the_cutoff() -> None:
    found = thresholds(torch.tensor([40.0, 20.0, 10.0, 0.0]), 0.9)
    assert found.tolist() == pytest.approx([0.9, 0.3, 0.9 * 0.25 / 1.75, 0.0])
    assert thresholds(torch.full((3,), 7.0), 0.8).tolist() == pytest.approx([0.8] * 3)


def test_a_higher_cutoff_keeps_fewer_rows_of_the_same() -> None:
    kept = [confident(PROBABILITIES, cutoff) for cutoff in (0.0, 0.5, 0.8, 0.95)]
    assert kept[0].all()
    assert all(bool((more | ~fewer).all()) for more, fewer in itertools.pairwise(kept))
    assert 0 < int(kept[-1].sum()) < int(kept[1].sum()) < 200


def test_the_mixture_is_the_published_curve_of_240_epochs() -> None:
    assert [round(teacher_share(e, 240), 3) for e in (0, 60, 119)] == [0.993, 0.853, 0.268]
    assert [teacher_share(e, 240) for e in (120, 200, 239)] == [0, 0, 0]


def test_the_curve_is_a_function_of_the_fraction_of_the_run() -> None:
    assert teacher_share(9, 40) == pytest.approx(teacher_share(59, 240))
    assert teacher_share(19, 40) > 0 == teacher_share(20, 40)
