"""Parameters: every share gives a value, every value is contained, and Optuna holds what users wrote."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from selkd.sweeps.parameters import AnyParameter, kind_of

PARAMETER: TypeAdapter[Any] = TypeAdapter(AnyParameter)
WRITTEN: list[dict[str, Any]] = [
    {"choice": ["kd", "selkd"]},
    {"choice": [1, 2.5, None, True, ["a", "b"], {"policy": "el2n", "keep": 0.3}]},
    {"grid": [20, 100]},
    {"uniform": [-1, 2]},
    {"log": [1e-4, 0.1]},
    {"integer": [4, 16], "step": 4},
    {"integer": [1, 1000], "log": True},
    {"integer": [-3, 3]},
]


@pytest.mark.parametrize("written", WRITTEN, ids=str)
@given(share=st.floats(0, 1, exclude_max=True))
def test_every_share_gives_a_value_that_is_contained(written: dict[str, Any], share: float) -> None:
    parameter = PARAMETER.validate_python(written)
    assert parameter.contains(parameter.at(share))


@pytest.mark.parametrize("written", WRITTEN, ids=str)
def test_a_value_survives_optuna(written: dict[str, Any]) -> None:
    parameter = PARAMETER.validate_python(written)
    distribution = parameter.distribution()
    for share in (0.0, 0.3, 0.999):
        value = parameter.at(share)
        encoded = parameter.encode(value)
        kept = distribution.to_external_repr(distribution.to_internal_repr(encoded))
        assert parameter.decode(kept) == value


@pytest.mark.parametrize("written", WRITTEN, ids=str)
def test_a_parameter_is_read_back_from_its_record(written: dict[str, Any]) -> None:
    parameter = PARAMETER.validate_python(written | {"when": {"objective.name": "kd"}})
    again = PARAMETER.validate_python(parameter.model_dump(mode="json"))
    assert again == parameter
    assert again.when == {"objective.name": ["kd"]}


def test_values_are_spread_as_their_measure_says() -> None:
    shares = (np.arange(10_000) + 0.5) / 10_000
    log = PARAMETER.validate_python({"log": [1e-4, 1.0]})
    assert np.mean([log.at(share) < 1e-2 for share in shares]) == pytest.approx(0.5, abs=1e-3)
    small = PARAMETER.validate_python({"integer": [1, 100], "log": True})
    assert np.mean([small.at(share) <= 10 for share in shares]) == pytest.approx(0.57, abs=0.02)
    steps = PARAMETER.validate_python({"integer": [4, 16], "step": 4})
    counts = np.unique([steps.at(share) for share in shares], return_counts=True)
    assert [*counts[0]] == [4, 8, 12, 16]
    assert [*counts[1]] == [2500] * 4


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"loog": [1, 2]}, "Did you mean 'log'"),
        ({"choice": [1], "grid": [2]}, "choice and grid do not go together"),
        ([1, 2], "not a parameter"),
    ],
)
def test_what_is_no_kind_of_parameter_is_refused(written: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        kind_of(written)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"log": [0, 1]}, "Begin above 0"),
        ({"uniform": [2, 1]}, "smaller number first"),
        ({"uniform": [1, 1]}, "is empty"),
        ({"uniform": [0, float("inf")]}, "finite"),
        ({"integer": [4, 15], "step": 4}, "The last is 12"),
        ({"integer": [0, 8], "log": True}, "at least 1"),
        ({"choice": []}, "at least 1 item"),
        ({"choice": [4, 4.0]}, "listed twice"),
        ({"choice": [1], "when": 3}, "write it as a group"),
        ({"subset": {"size": 0}}, "not a size"),
    ],
)
def test_an_impossible_parameter_is_refused(written: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        PARAMETER.validate_python(written)
