"""Where nothing differs, at most a share alpha of studies says that something does, within binomial error."""

import pytest
from scipy import stats

from benchmarks.null_studies import ALPHA, BROKEN, HELD, rejections

QUICK = (
    "permutation, 10 pairs",
    "permutation, 10 clusters",
    "Wilcoxon, 10 pairs",
    "Wilcoxon, 10 clusters",
    "Holm, 4 levels, 10 units",
    "Nemenyi, 5 levels, 10 units",
    "extend at 6, 10, 16, Pocock",
    "extend at 8, 11, 16, Pocock, ties",
)


@pytest.mark.parametrize("name", QUICK)
def test_null_studies_reject_at_most_at_the_level(name):
    assert rejections(HELD[name], 500, seed=1) <= _most(500)


@pytest.mark.slow
@pytest.mark.parametrize("name", HELD)
def test_thousands_of_null_studies_reject_at_most_at_the_level(name):
    assert rejections(HELD[name], 2000, seed=2) <= _most(2000)


@pytest.mark.parametrize("name", BROKEN)
def test_studies_without_the_correction_are_caught_rejecting_too_often(name):
    """So the bound above is sharp enough to tell."""
    assert rejections(BROKEN[name], 500, seed=1) > _most(500)


def _most(simulations: int) -> int:
    return int(stats.binom.ppf(0.999, simulations, ALPHA))
