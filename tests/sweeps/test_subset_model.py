"""The model of subsets: the posterior is that of the textbook, and it learns effects from few subsets."""

from itertools import combinations

import numpy as np
import pytest

from selkd.sweeps.subset_model import SHARES, Kernel, Posterior, fit

FREE = 8
EVERY = np.array(
    [[i in chosen for i in range(FREE)] for n in (2, 3, 4) for chosen in combinations(range(FREE), n)], float
)
SIZES = (2, 4)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("shares", SHARES)
def test_covariances_are_positive_and_indifferent_to_which_categories_are_meant(shares, rng: np.random.Generator):
    kernel = Kernel(FREE, SIZES, shares)
    covariance = kernel(EVERY, EVERY)
    order = rng.permutation(FREE)
    assert np.linalg.eigvalsh(covariance).min() > -1e-9
    np.testing.assert_allclose(np.diag(covariance), kernel.diagonal(EVERY))
    np.testing.assert_allclose(kernel(EVERY[:, order], EVERY[:, order]), covariance)


def test_the_posterior_equals_the_formulas_of_gaussian_conditioning(rng: np.random.Generator):
    kernel, points, noise = Kernel(FREE, SIZES, (0.5, 0.25, 0.25)), EVERY[::5], rng.uniform(0.1, 0.3, len(EVERY[::5]))
    values = rng.standard_normal(len(points))
    mean, spread = Posterior(kernel, points, values, noise, scale=2.0).at(EVERY)
    precision = np.linalg.inv(kernel(points, points) + np.diag(noise))
    cross = kernel(EVERY, points)
    np.testing.assert_allclose(mean, cross @ precision @ values)
    np.testing.assert_allclose(spread**2, 2 * np.diag(kernel(EVERY, EVERY) - cross @ precision @ cross.T))


def test_believing_keeps_the_mean_and_narrows_the_spread(rng: np.random.Generator):
    posterior = fit(EVERY[::5], rng.standard_normal(len(EVERY[::5])), np.ones(len(EVERY[::5])), SIZES)
    (mean, spread), (after, narrower) = posterior.at(EVERY), posterior.believing(EVERY[1:3]).at(EVERY)
    np.testing.assert_allclose(after, mean, atol=1e-9)
    assert (narrower <= spread + 1e-9).all()
    assert (narrower[1:3] < spread[1:3]).all()


def test_effects_of_categories_are_learnt_from_a_tenth_of_the_subsets(rng: np.random.Generator):
    value = EVERY @ rng.standard_normal(FREE)
    some = rng.permutation(len(EVERY))[: len(EVERY) // 10]
    mean, _ = fit(EVERY[some], value[some], np.ones(len(some)), SIZES).at(EVERY)
    assert np.corrcoef(mean, value)[0, 1] > 0.9


def test_effects_of_pairs_are_learnt_where_those_of_categories_do_not_suffice(rng: np.random.Generator):
    pairs = rng.standard_normal((FREE, FREE))
    value = np.einsum("ni,ij,nj->n", EVERY, pairs, EVERY)
    some, others = np.split(rng.permutation(len(EVERY)), [len(EVERY) // 2])
    mean, _ = fit(EVERY[some], value[some], np.ones(len(some)), SIZES).at(EVERY[others])
    assert np.corrcoef(mean, value[others])[0, 1] > 0.9


def test_noise_is_recognised_and_repeats_lessen_it(rng: np.random.Generator):
    value = EVERY @ rng.standard_normal(FREE)
    ones = np.ones(len(EVERY))
    exact, noisy = (fit(EVERY, value + noise * rng.standard_normal(len(EVERY)), ones, SIZES) for noise in (0, 3))
    assert exact.noise.max() < noisy.noise.min()
    often = fit(EVERY, value + 3 * rng.standard_normal(len(EVERY)), np.where(EVERY[:, 0] > 0, 9.0, 1.0), SIZES)
    assert often.noise[EVERY[:, 0] > 0].max() == pytest.approx(often.noise.max() / 9)


def test_equal_values_are_no_fault():
    mean, spread = fit(EVERY[:5], np.full(5, 0.5), np.ones(5), SIZES).at(EVERY)
    assert np.isfinite(mean).all()
    assert (spread > 0).all()
