"""Greedy k-centre is within twice the best radius, and chooses rows once."""

from itertools import combinations

import torch
from torch import Tensor

from selkd.selection.samples.centres import centres


def radius(points: Tensor, chosen: list[int]) -> float:
    return float(torch.cdist(points, points[chosen]).amin(1).amax())


def test_the_radius_is_at_most_twice_the_best() -> None:
    for seed in range(5):
        points = torch.rand(11, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        for count in (2, 3, 4):
            best = min(radius(points, list(chosen)) for chosen in combinations(range(11), count))
            assert radius(points, centres(points, count).tolist()) <= 2 * best + 1e-12


def test_centres_are_nested_and_distinct_even_among_equal_rows() -> None:
    points = torch.tensor([[0.0], [0.0], [0.0], [1.0], [5.0], [5.0]])
    chosen = centres(points, 6).tolist()
    assert sorted(chosen) == list(range(6))
    for count in range(1, 6):
        assert centres(points, count).tolist() == chosen[:count]


def test_every_cluster_gets_a_centre() -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.cat([torch.randn(20, 3, generator=generator) * 0.1 + 10 * place for place in torch.eye(3)])
    assert sorted(row // 20 for row in centres(points, 3).tolist()) == [0, 1, 2]
