"""The funnel of the transport policy: who reaches which level, what is spent, and what the order says."""

from collections.abc import Sequence
from typing import Literal

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from selkd.selection.teachers import TEACHERS, About, TeacherEvidence
from selkd.selection.teachers.related import RelatedSettings, assess

NAMES = [f"t{k}" for k in range(8)]


class Arcs:
    """A toy: the task is two points of a circle, each teacher two others, farther with its number."""

    def __init__(self) -> None:
        self.skipped: dict[str, str] = {}
        self.shown: list[str] = []
        self.trained = 0
        self.heard: list[str] = []

    def prior(self) -> Tensor:
        return torch.tensor([0.5, 0.5], dtype=torch.float64)

    def costs(self, names: Sequence[str]) -> dict[str, Tensor]:
        ours = self._points(torch.tensor([0.0, 0.3]))
        found = {name: torch.cdist(self._points(self._angles(name)), ours) for name in names}
        largest = max(float(cost.max()) for cost in found.values())
        return {name: cost / largest for name, cost in found.items()}

    def shared(self, name: str) -> float:
        return float(name == "t0")

    def labels(self, rows: int) -> Tensor:
        return torch.arange(2 * rows) % 2

    def logits(self, name: str, rows: int) -> Tensor:
        self.shown.append(name)
        images = self._points(torch.tensor([0.0, 0.3]))[self.labels(rows)]
        return -10 * torch.cdist(images, self._points(self._angles(name)))

    def features(self, name: str, rows: int) -> Tensor:
        return self.logits(name, rows)

    def student(self, rows: int, steps: int) -> Tensor:
        self.trained += 1
        return 4 * F.one_hot(self.labels(rows), 2).double()

    def ahead(self, names: Sequence[str], what: str, rows: int) -> None:
        self.heard = list(names)

    @staticmethod
    def _angles(name: str) -> Tensor:
        return torch.tensor([0.0, 0.3]) + 0.35 * int(name[1:])

    @staticmethod
    def _points(angles: Tensor) -> Tensor:
        return torch.stack([angles.cos(), angles.sin()], 1).double()


@pytest.mark.parametrize("level", [0, 1, 2])
def test_teachers_on_nearer_arcs_come_first(level: Literal[0, 1, 2]) -> None:
    found = assess(Arcs(), NAMES, RelatedSettings(level=level, rows=4, first=8, second=8))
    assert found.order == NAMES


def test_each_level_asks_no_more_than_its_budget() -> None:
    arcs = Arcs()
    assess(arcs, NAMES, RelatedSettings(level=0))
    assert (arcs.shown, arcs.trained) == ([], 0)
    found = assess(arcs, NAMES, RelatedSettings(level=1, first=5))
    assert (sorted(arcs.shown), arcs.trained) == (NAMES[:5], 0)
    assert arcs.heard == NAMES[:5]
    arcs = Arcs()
    found = assess(arcs, NAMES, RelatedSettings(level=2, first=5, second=2))
    assert (sorted(arcs.shown), arcs.trained) == (NAMES[:5], 1)
    assert [len(level) for level in found.levels] == [8, 5, 2]
    assert sorted(found.order) == NAMES


def evidence() -> TeacherEvidence:
    return TeacherEvidence(None, {name: About(("a", "b"), 0.5) for name in NAMES}, Arcs())


def test_nearer_teachers_count_more() -> None:
    policy = TEACHERS["transport"]
    shares = policy(policy.Settings(number=3)).choose(evidence(), 0).shares  # pyright: ignore[reportCallIssue]
    assert list(shares) == NAMES[:3]
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert sum(shares.values()) == pytest.approx(1)
    alone = policy(policy.Settings()).choose(evidence(), 0).shares
    assert alone == {"t0": 1.0}


@pytest.mark.parametrize("name", sorted(set(TEACHERS) - {"named"}))
def test_every_ranking_policy_is_a_function_of_its_evidence_and_seed(name: str) -> None:
    policy = TEACHERS[name]
    found = [policy(policy.Settings()).choose(evidence(), 3) for _ in range(2)]
    assert found[0] == found[1]
    assert set(found[0].scores) <= set(NAMES)
    assert len(found[0].shares) == 1


@pytest.mark.parametrize("name", ["overlap", "leep", "transport"])
def test_policies_that_read_the_task_find_the_teacher_of_its_categories(name: str) -> None:
    policy = TEACHERS[name]
    assert list(policy(policy.Settings()).choose(evidence(), 0).shares) == ["t0"]


def test_equal_teachers_are_ordered_by_name() -> None:
    arcs = Arcs()
    arcs._angles = lambda name: torch.tensor([0.0, 0.3])  # pyright: ignore
    assert assess(arcs, ["t3", "t1", "t2"], RelatedSettings(level=1)).order == ["t1", "t2", "t3"]
