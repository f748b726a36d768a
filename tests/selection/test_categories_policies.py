"""What each category policy chooses, against brute force and planted structure."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from selkd.selection import CATEGORIES, CategoryEvidence
from selkd.selection.categories import optimise
from selkd.selection.categories.taught import hellinger
from selkd.transport import Rows, solve

PAIRS = ("most-confusable", "least-confusable", "transport")


def letters(count: int) -> tuple[str, ...]:
    return tuple(f"c{i:02d}" for i in range(count))


def known(answers: np.ndarray, groups: int = 1) -> CategoryEvidence:
    names = letters(len(answers))
    superclasses = {f"s{g}": names[g::groups] for g in range(groups)}
    return CategoryEvidence(names, superclasses, (20,) * len(names), (), lambda: answers)


def chosen(name: str, evidence: CategoryEvidence, seed: int = 0, **settings: Any) -> list[int]:
    cls = CATEGORIES[name]
    found = cls(cls.Settings(**settings)).choose(evidence, seed).categories
    return [evidence.categories.index(c) for c in found]


def random_answers(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(count, 0.2), count)


def clustered(clusters: int, members: int) -> np.ndarray:
    """Rows of a cluster give all their mass to it; the first clusters keep most on their own category."""
    count = clusters * members
    answers = np.zeros((count, count))
    for c in range(clusters):
        own = slice(c * members, (c + 1) * members)
        share = 0.9 - 0.6 * c / clusters
        answers[own, own] = (1 - share) / (members - 1)
        answers[np.arange(count)[own], np.arange(count)[own]] = share
    return answers


def worth(name: str, answers: np.ndarray, subset: tuple[int, ...]) -> float:
    """The value of a subset, straight from the policy's definition."""
    inside = sum(answers[a, c] for a in subset for c in subset if a != c)
    own = sum(answers[a, a] for a in subset)
    return {"most-confusable": inside, "least-confusable": -inside, "transport": inside + own}[name]


@pytest.mark.parametrize("few", [0, optimise.FEW], ids=["greedy and exchanges", "exhaustive"])
@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("settings", [{}, {"must": ["c03", "c06"]}, {"one_per_superclass": True}])
def test_pairs_are_chosen_as_brute_force_would(
    name: str, settings: dict[str, Any], few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimise, "FEW", few)
    for seed in range(6):
        answers = random_answers(10, seed)
        evidence = known(answers, groups=5)
        best = max(
            (s for s in combinations(range(10), 4) if {3, 6} <= set(s) or "must" not in settings)
            if "one_per_superclass" not in settings
            else (s for s in combinations(range(10), 4) if len({i % 5 for i in s}) == 4),
            key=lambda subset: worth(name, answers, subset),
        )
        found = chosen(name, evidence, size=4, **settings)
        assert worth(name, answers, tuple(found)) == pytest.approx(worth(name, answers, best), abs=1e-12)


@pytest.mark.parametrize("name", PAIRS)
def test_a_large_problem_is_solved_no_worse_than_any_single_exchange(name: str) -> None:
    answers = random_answers(60, 1)
    found = chosen(name, known(answers), size=12)
    value = worth(name, answers, tuple(found))
    for leaving in found:
        for entering in set(range(60)) - set(found):
            assert worth(name, answers, tuple({*found, entering} - {leaving})) <= value + 1e-9


def test_transport_keeps_the_mass_that_the_restricted_plan_keeps() -> None:
    """The value that is maximised is the mass of the teacher's row plan inside the subset, solved as a plan."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(6).repeat_interleave(torch.tensor([3, 5, 4, 6, 2, 7]))
    logits = torch.randn(len(labels), 6, generator=generator, dtype=torch.float64) * 2
    answers = np.stack([logits.softmax(1)[labels == a].mean(0).numpy() for a in range(6)])

    def lost(subset: tuple[int, ...]) -> float:
        rows = torch.isin(labels, torch.tensor(subset))
        sizes = torch.bincount(labels, minlength=6)[labels[rows]]
        plan = solve(logits[rows], Rows(1 / (len(subset) * sizes.double())), epsilon=1.0).log.exp()
        return 1 - float(plan[:, list(subset)].sum())

    best = min(combinations(range(6), 3), key=lost)
    assert tuple(chosen("transport", known(answers), size=3)) == best
    policy = CATEGORIES["transport"]
    gain = policy(policy.Settings()).gain(answers)  # pyright: ignore[reportAttributeAccessIssue]
    assert 1 - optimise.total(gain, best) / 3 == pytest.approx(lost(best))


def test_planted_clusters_are_found() -> None:
    answers = clustered(clusters=4, members=3)
    assert chosen("most-confusable", known(answers), size=3) == [9, 10, 11]
    assert sorted(i // 3 for i in chosen("least-confusable", known(answers), size=4)) == [0, 1, 2, 3]
    assert sorted(i // 3 for i in chosen("diverse", known(answers), size=4)) == [0, 1, 2, 3]
    whole = chosen("transport", known(answers), size=6)
    assert len({i // 3 for i in whole}) == 2  # whole clusters lose nothing


def test_best_and_worst_are_the_ends_of_what_the_teacher_gives_the_truth() -> None:
    answers = random_answers(9, 4)
    order = answers.diagonal().argsort().tolist()
    assert sorted(chosen("worst", known(answers), size=3)) == sorted(order[:3])
    assert sorted(chosen("best", known(answers), size=3)) == sorted(order[-3:])


def test_of_each_superclass_the_best_remains() -> None:
    answers = random_answers(9, 4)
    found = chosen("best", known(answers, groups=3), size=3, one_per_superclass=True)
    assert sorted(found) == sorted(max(range(g, 9, 3), key=lambda i: answers[i, i]) for g in range(3))


def test_first_k_follows_the_data() -> None:
    assert chosen("first-k", known(random_answers(8, 0)), size=3) == [0, 1, 2]
    assert chosen("first-k", known(random_answers(8, 0)), size=3, never=["c01"], must=["c05"]) == [0, 2, 5]


def test_diverse_covers_the_categories_at_most_twice_as_far_as_the_best_subset() -> None:
    for seed in range(10):
        answers = random_answers(9, seed)
        distance = hellinger(answers)
        radius = min(distance[:, list(s)].min(1).max() for s in combinations(range(9), 3))
        found = distance[:, chosen("diverse", known(answers), size=3)].min(1).max()
        assert found <= 2 * radius + 1e-12


def test_hellinger_is_the_distance_of_square_roots() -> None:
    answers = random_answers(5, 2)
    roots = np.sqrt(answers)
    expected = np.linalg.norm(roots[:, None] - roots[None], axis=2) / np.sqrt(2)
    assert hellinger(answers) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(("settings", "count"), [({"size": 3}, 20), ({"size": 2, "one_per_superclass": True}, 8)])
def test_random_subsets_are_uniform_over_seeds(settings: dict[str, Any], count: int) -> None:
    superclasses = {"x": ("a", "b", "c", "d"), "y": ("e", "f")}
    evidence = CategoryEvidence(tuple("abcdef"), superclasses, (9,) * 6, ())
    drawn = [tuple(chosen("random", evidence, seed, **settings)) for seed in range(600)]
    found = [drawn.count(subset) for subset in set(drawn)]
    assert len(found) == count
    assert stats.chisquare(found).pvalue > 1e-3


def test_superclasses_are_drawn_whole_and_each_in_turn() -> None:
    evidence = known(random_answers(9, 0), groups=3)
    drawn = {tuple(chosen("superclass", evidence, seed)) for seed in range(40)}
    assert drawn == {(0, 3, 6), (1, 4, 7), (2, 5, 8)}
