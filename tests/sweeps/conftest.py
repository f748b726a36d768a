"""A small search space on the digits, and who proposes its candidates."""

from collections.abc import Callable
from typing import Any

import pytest

from selkd.sweeps.proposals import Proposer
from selkd.sweeps.space import SearchSpace

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPACE: dict[str, Any] = {
    "name": "small",
    "base": {"teacher": "big", "objective": {"name": "selkd"}, "training": {"epochs": 2}},
    "search": {"objective.epsilon": {"log": [0.5, 10]}, "objective.alpha": {"uniform": [0, 4]}},
    "metrics": {"validation/accuracy": "maximise"},
    "budget": {"candidates": 20},
    "defaults": False,
}

MakeSpace = Callable[..., SearchSpace]
MakeProposer = Callable[[SearchSpace], Proposer]


@pytest.fixture(scope="session")
def space() -> MakeSpace:
    """A space with two ranges, and whatever is given instead."""
    return lambda **changes: SearchSpace.of(SPACE | changes)


@pytest.fixture(scope="session")
def proposer() -> MakeProposer:
    """Proposes on ten categories of two superclasses, a hundred rows each."""
    superclasses = {"low": DIGITS[:5], "high": DIGITS[5:]}
    return lambda space: Proposer(space, DIGITS, superclasses, [100] * 10)
