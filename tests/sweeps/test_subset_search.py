"""The search finds the subset that promises most, and says by how much in numbers that do not vanish."""

from typing import Any

import numpy as np
import pytest

from selkd.sweeps.subset_model import Posterior, fit
from selkd.sweeps.subset_search import Search, log_expected_improvement
from selkd.sweeps.subsets import Feasible, Subset, SubsetSpace

NAMES = [f"c{i:02d}" for i in range(14)]
PAIRS = {"pair": NAMES[:2], "couple": NAMES[4:6]}


def posed(config: dict[str, Any]) -> tuple[Feasible, set[Subset], Search, Posterior]:
    feasible, rng = SubsetSpace.model_validate(config).on(NAMES, PAIRS, [1] * 14), np.random.default_rng(0)
    seen = {feasible.random(rng) for _ in range(40)}
    search = Search(feasible, seen)
    points = search.points(sorted(seen))
    values = points @ rng.standard_normal(points.shape[1]) + rng.standard_normal(len(points))
    return feasible, seen, search, fit(points, values, np.ones(len(points)), (feasible.smallest, feasible.largest))


@pytest.mark.parametrize(
    "config", [{"size": 4}, {"size": [2, 5], "must": ["c03"]}, {"size": [3, 4], "one_per_superclass": True}]
)
def test_climbing_finds_what_enumeration_finds(config: dict[str, Any]):
    feasible, seen, search, posterior = posed(config)
    unseen, best = [subset for subset in feasible if subset not in seen], float(posterior.values.max())
    starts, rng = [*sorted(seen)[:6], *unseen[::200]], np.random.default_rng(1)
    assert search.climb(posterior, best, starts, rng) == search.best(posterior, best, unseen)


def test_what_was_seen_is_not_found():
    feasible, seen, search, posterior = posed({"size": 3})
    best = float(posterior.values.max())
    assert search.best(posterior, best, [*seen, next(s for s in feasible if s not in seen)]) not in seen
    assert search.climb(posterior, best, [*seen], np.random.default_rng(0)) not in seen


def test_expected_improvement_equals_the_mean_of_draws():
    mean, spread = np.array([0.0, 1.0, -0.5, 2.0]), np.array([1.0, 0.5, 0.8, 0.1])
    draws = mean + spread * np.random.default_rng(0).standard_normal((400_000, 4))
    drawn = np.maximum(draws - 0.5, 0).mean(0)
    np.testing.assert_allclose(np.exp(log_expected_improvement(mean, spread, 0.5)), drawn, rtol=0.02)


def test_hopeless_subsets_are_still_told_apart():
    z = -np.logspace(-3, 5, 200)
    gain = log_expected_improvement(z, np.ones(200), 0.0)
    assert np.isfinite(gain).all()
    assert (np.diff(gain) < 0).all()
    assert np.isfinite(log_expected_improvement(np.array([1e6]), np.array([1e-5]), 0.0)).all()
