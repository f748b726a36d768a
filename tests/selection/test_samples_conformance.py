"""What every registered sample policy must satisfy, round after round."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from selkd.errors import UserError
from selkd.selection import SAMPLES, RowEvidence, SamplePolicy
from selkd.selection.samples.budget import systematic
from selkd.selection.samples.kd3 import confident, teacher_share
from selkd.selection.samples.ranking import el2n

ROWS, OUTPUTS, ROUNDS = 60, 4, 5
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "all": [{}],
    "random": [{}],
    "el2n": [{"rounds": 2}, {"rounds": 1, "zone": "easy", "balanced": True, "one_per_category": True}],
    "margin": [{}, {"zone": "middle", "balanced": True}],
    "entropy": [{}, {"zone": "easy", "one_per_category": True}],
    "pruning": [{}, {"score": "el2n", "rounds": 1}, {"score": "margin", "alpha": 0.3, "balanced": True}],
    "k-centre": [{}],
    "teacher-correct": [{}],
    "confidence-band": [{"low": 0.3, "high": 0.9}],
    "rad": [{}, {"mistakes": 0.0, "every": 2}],
    "ddk": [{}, {"ratio": "difference", "every": 2}, {"ratio": "accuracy", "alpha": 0.9, "held_out": 0.3}],
    "kd3": [{"cutoff": 0.7}],
}
every_case = pytest.mark.parametrize(
    ("name", "settings"),
    [
        pytest.param(name, settings, id=f"{name}-{settings}")
        for name in SAMPLES
        for settings in VARIANTS.get(name, [{}])
    ],
)
every_budget = pytest.mark.parametrize("budget", [OUTPUTS, 19, ROWS])


def noise(seed: int) -> Tensor:
    return torch.randn(ROWS, OUTPUTS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


LABELS = torch.tensor([0] * 30 + [1] * 15 + [2] * 12 + [3] * 3)[
    torch.randperm(ROWS, generator=torch.Generator().manual_seed(4))
]
TRUTH = torch.nn.functional.one_hot(LABELS, OUTPUTS)
TEACHER = (2 * noise(0) + 3 * TRUTH).log_softmax(1)
IDS = 1000 + 7 * torch.arange(ROWS)


def evidence(order: Tensor | None = None) -> RowEvidence:
    order = torch.arange(ROWS) if order is None else order
    return RowEvidence(IDS[order], LABELS[order], OUTPUTS, ROUNDS, lambda: TEACHER[order])


def answers(ids: Tensor, round: int) -> Tensor:
    """A student that improves: logits by row number, so that the order of the rows does not matter."""
    return (noise(round + 1) + round * TRUTH)[(ids - 1000) // 7]


def make(name: str, settings: dict[str, Any]) -> SamplePolicy:
    return SAMPLES[name](SAMPLES[name].Settings(**settings))


def rounds(policy: SamplePolicy, given: RowEvidence, budget: int, first: int = 0, seed: int = 3) -> list[Tensor]:
    found = []
    for round in range(first, ROUNDS):
        found.append(policy.rates(given, budget, seed, round))
        rows = policy.asks(given, seed, round)
        if rows is not None:
            policy.learn(given, rows, answers(given.ids[rows], round), round)
    return found


def test_every_policy_has_its_variants_here() -> None:
    assert set(VARIANTS) == set(SAMPLES)


@every_case
@every_budget
def test_every_round_spends_the_budget_exactly(name: str, settings: dict[str, Any], budget: int) -> None:
    for rates in rounds(make(name, settings), evidence(), budget):
        assert rates.shape == (ROWS,)
        assert rates.dtype == torch.float64
        assert float(rates.min()) >= 0
        assert float(rates.sum()) == pytest.approx(budget, abs=1e-9)
        assert int(systematic(rates, 0.37).sum()) == budget


@every_case
def test_the_same_seed_makes_the_same_choice(name: str, settings: dict[str, Any]) -> None:
    first, again = (rounds(make(name, settings), evidence(), 19) for _ in range(2))
    assert all(map(torch.equal, first, again))


@every_case
def test_permuting_the_rows_permutes_their_rates(name: str, settings: dict[str, Any]) -> None:
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(5))
    plain = rounds(make(name, settings), evidence(), 19)
    for rates, moved in zip(plain, rounds(make(name, settings), evidence(order), 19), strict=True):
        torch.testing.assert_close(moved, rates[order], rtol=1e-12, atol=1e-12)


@every_case
def test_its_state_is_all_that_later_rounds_need(name: str, settings: dict[str, Any]) -> None:
    whole = rounds(make(name, settings), evidence(), 19)
    stopped = make(name, settings)
    for round in range(3):
        stopped.rates(evidence(), 19, 3, round)
        rows = stopped.asks(evidence(), 3, round)
        if rows is not None:
            stopped.learn(evidence(), rows, answers(IDS[rows], round), round)
    resumed = make(name, settings)
    resumed.state = {key: value.clone() for key, value in stopped.state.items()}
    assert all(map(torch.equal, rounds(resumed, evidence(), 19, first=3), whole[3:]))


@every_case
def test_the_teacher_is_read_only_where_the_settings_say_so(name: str, settings: dict[str, Any]) -> None:
    asked: list[int] = []

    def ask() -> Tensor:
        asked.append(1)
        return TEACHER

    policy = make(name, settings)
    rounds(policy, RowEvidence(IDS, LABELS, OUTPUTS, ROUNDS, ask), 19)
    assert bool(asked) == policy.settings.needs_teacher


@every_case
def test_weights_are_one_number_a_row_and_term(name: str, settings: dict[str, Any]) -> None:
    terms = {"truth": torch.rand(7), "teacher": torch.rand(7)}
    for term, weights in make(name, settings).weigh(terms).items():
        assert weights.shape == terms[term].shape
        assert bool((weights >= 0).all())


@pytest.mark.parametrize("name", ["random", "margin", "entropy", "pruning", "k-centre"])
def test_subsets_are_nested_and_whole_at_the_full_budget(name: str) -> None:
    kept = [rounds(make(name, {}), evidence(), budget)[0] for budget in (1, 5, 19, 40, ROWS)]
    assert all(set(rates.tolist()) <= {0.0, 1.0} for rates in kept)
    assert all(bool((few <= more).all()) for few, more in itertools.pairwise(kept))


def test_random_depends_on_the_seed_and_scores_do_not() -> None:
    for name, same in (("random", False), ("margin", True), ("all", True)):
        one, other = (rounds(make(name, {}), evidence(), 19, seed=seed)[-1] for seed in (1, 2))
        assert torch.equal(one, other) == same


def test_a_student_chooses_once_it_was_scored() -> None:
    found = rounds(make("el2n", {"rounds": 2}), evidence(), 19)
    assert [len(rates.unique()) for rates in found] == [1, 1, 2, 2, 2]
    assert torch.equal(found[2], found[4])
    scores = [el2n(answers(IDS, round).softmax(1), LABELS) for round in (0, 1)]
    hardest = [set(score.topk(19).indices.tolist()) for score in (scores[0] + scores[1], scores[1])]
    assert set(found[2].nonzero().flatten().tolist()) == hardest[0] != hardest[1]


def test_kd3_asks_the_mixture_of_the_round_that_comes() -> None:
    """Round 2 of 5 still hears the teacher; round 3 is in the second half and hears the student alone."""
    found = rounds(make("kd3", {"cutoff": 0.7}), evidence(), 19)
    student = {round: answers(IDS, round - 1).log_softmax(1) for round in (2, 3)}
    a = teacher_share(2, ROUNDS)
    mixed = {2: (a * TEACHER + (1 - a) * student[2]).softmax(1), 3: student[3].exp()}
    assert a > 0 == teacher_share(3, ROUNDS)
    for round, probabilities in mixed.items():
        assert torch.equal(found[round] > 0, confident(probabilities, 0.7))


def test_joint_weights_make_a_ridge_student_affine_in_alpha() -> None:
    """(1 - a) |Xw - y|^2 + a |Xw - t|^2 + |w|^2: w(a) = (1 - a) w(0) + a w(1)."""
    inputs, truth, taught = noise(7), noise(8)[:, 0], noise(9)[:, 0]

    def weights(alpha: float) -> Tensor:
        terms = {"truth": torch.ones(ROWS).double(), "teacher": torch.ones(ROWS).double()}
        given = make("pruning", {"alpha": alpha}).weigh(terms)
        left = inputs.T @ (inputs * (given["truth"] + given["teacher"])[:, None]) + torch.eye(OUTPUTS)
        return torch.linalg.solve(left, inputs.T @ (given["truth"] * truth + given["teacher"] * taught))

    torch.testing.assert_close(weights(0.3), 0.7 * weights(0.0) + 0.3 * weights(1.0))
    assert not make("pruning", {"alpha": 0.3}).weigh({"truth": torch.ones(3)})


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("el2n", {"rounds": 5}, "rounds: 5 leaves none of the run's 5 epochs"),
        ("pruning", {"score": "el2n", "rounds": 9}, "rounds: 9"),
        ("confidence-band", {"low": 0.9999999, "high": 0.99999991}, "confidence-band leaves none"),
        ("rad", {"mistakes": 50.0}, "mistakes: 50.0 times"),
        ("margin", {"one_per_category": True}, "no room for one of each of 4 categories"),
    ],
)
def test_what_cannot_choose_is_refused_in_the_first_round(name: str, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        make(name, settings).rates(evidence(), 2, 0, 0)


def test_kd3_without_a_confident_row_uses_all_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    unsure = RowEvidence(IDS, LABELS, OUTPUTS, ROUNDS, lambda: torch.zeros(ROWS, OUTPUTS).log_softmax(1))
    rates = make("kd3", {"cutoff": 0.9}).rates(unsure, 19, 0, 0)
    assert len(rates.unique()) == 1
    assert "kd3 leaves no row in epoch 1" in caplog.text
