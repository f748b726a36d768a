"""A toy with a known answer: Gaussian classes on a circle, described by where they are; teachers know other arcs."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from selkd.objectives import REGISTRY, Context, View
from selkd.objectives.links import Link
from selkd.transport import ground_cost

SPREAD, SHOTS, SEEDS = 0.35, 5, 3
OURS = torch.tensor([0.0, 0.45, 0.9, 1.35])


def points(angles: Tensor) -> Tensor:
    return torch.stack([angles.cos(), angles.sin()], 1)


def rows(count: int, seed: int) -> tuple[Tensor, Tensor]:
    labels = torch.arange(len(OURS)).repeat_interleave(count)
    noise = torch.randn(len(labels), 2, generator=torch.Generator().manual_seed(seed))
    return points(OURS)[labels] + SPREAD * noise, labels


def answers(x: Tensor, theirs: Tensor) -> Tensor:
    """What a perfect teacher of the classes at these angles says."""
    return -(torch.cdist(x, points(theirs)) ** 2) / (2 * SPREAD**2)


def accuracy(seed: int, theirs: Tensor, **settings: Any) -> float:
    """Of a student with `SHOTS` rows a class."""
    cost = ground_cost(points(theirs), points(OURS), "squared")
    link = Link(cost / cost.max(), torch.zeros(cost.shape, dtype=torch.bool))
    kind: Any = REGISTRY["transport"]
    objective = kind(kind.Settings(**settings), Context(torch.arange(4), "closed", torch.ones(4), (link,)))
    x, labels = rows(SHOTS, seed)
    torch.manual_seed(seed)
    student = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 4))
    optimiser = torch.optim.Adam(student.parameters(), 0.02)
    targets, teacher = F.one_hot(labels, 4).float(), answers(x, theirs)
    for _ in range(100):
        optimiser.zero_grad()
        terms = objective.terms(View(student(x), targets, teacher, len(x)))
        torch.stack([objective.weights[name] * term.mean() for name, term in terms.items()]).sum().backward()
        optimiser.step()
    seen, truth = rows(500, 1000 + seed)
    return float((student(seen).argmax(1) == truth).double().mean())


@pytest.fixture(scope="module")
def alone() -> Tensor:
    return torch.tensor([accuracy(seed, OURS, alpha=0.0) for seed in range(SEEDS)])


def test_a_teacher_of_near_classes_helps_where_rows_are_few(alone: Tensor) -> None:
    near = OURS + 0.1
    taught = torch.tensor([accuracy(seed, near, alpha=20.0, teacher_temperature=1.0) for seed in range(SEEDS)])
    assert (taught - alone).min() > 0.01


def test_a_teacher_of_far_classes_does_no_great_harm(alone: Tensor) -> None:
    far = OURS + 3.1
    taught = torch.tensor([accuracy(seed, far, alpha=1.0, teacher_temperature=1.0) for seed in range(SEEDS)])
    assert (taught - alone).mean() > -0.05
