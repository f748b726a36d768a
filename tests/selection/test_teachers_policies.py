"""Teacher policies: who is chosen, in which order, and how much each counts."""

from typing import Any

import pytest

from selkd.errors import UserError
from selkd.selection.teachers import TEACHERS, About, Chosen, TeacherEvidence

EVIDENCE = TeacherEvidence(
    "b", {name: About(("x", "y"), accuracy) for name, accuracy in {"c": 0.7, "a": 0.5, "b": 0.7, "d": 0.2}.items()}
)


def choose(name: str, seed: int = 0, evidence: TeacherEvidence = EVIDENCE, **settings: Any) -> Chosen:
    cls = TEACHERS[name]
    return cls(cls.Settings(**settings)).choose(evidence, seed)


def test_the_named_teacher_counts_alone_and_weights_sum_to_one() -> None:
    assert choose("named").shares == {"b": 1.0}
    assert choose("named", weights={"a": 1, "d": 3}).shares == {"a": 0.25, "d": 0.75}


def test_the_most_accurate_come_first_and_equal_ones_by_name() -> None:
    found = choose("accuracy", number=3)
    assert list(found.shares) == ["b", "c", "a"]
    assert set(found.shares.values()) == {1 / 3}
    assert found.scores == {"a": 0.5, "b": 0.7, "c": 0.7, "d": 0.2}


def test_among_limits_who_is_ranked() -> None:
    assert set(choose("accuracy", among=("d", "a")).scores) == {"a", "d"}
    with pytest.raises(UserError, match=r"no teacher 'e'"):
        choose("accuracy", among=("e",))


def test_random_teachers_follow_the_seed_and_every_one_has_its_turn() -> None:
    drawn = [next(iter(choose("random", seed).shares)) for seed in range(40)]
    assert drawn == [next(iter(choose("random", seed).shares)) for seed in range(40)]
    assert set(drawn) == set("abcd")
