"""Students at once: workers are whole on a node, and a student has all of its workers."""

from typing import Any

import pytest

from selkd.config import RunConfig
from selkd.sweeps.room import at_once, needs, slots

BIG, SMALL = {"CPU": 8.0, "memory": 1e9}, {"CPU": 3.0}


@pytest.mark.parametrize(
    ("workers", "wanted", "students"),
    [
        ({}, None, 11),
        ({}, 4, 4),
        ({}, 40, 11),
        ({"cpus": 2}, None, 4 + 1),
        ({"cpus": 2, "count": 2}, None, 2),
        ({"count": 4}, 40, 2),
        ({"cpus": 0.1}, None, 80 + 30),
        ({"cpus": 9}, None, 0),
        ({"count": 12}, 3, 0),
    ],
)
def test_students_fit_with_all_their_workers(workers: dict[str, Any], wanted: int | None, students: int) -> None:
    config = RunConfig.model_validate({"workers": {"device": "cpu", **workers}})
    assert at_once(config, [BIG, SMALL], wanted) == students


def test_a_worker_fits_where_all_that_it_holds_is() -> None:
    assert slots([BIG, BIG | {"GPU": 2}, SMALL], {"CPU": 1, "GPU": 0.5}) == 4
    assert needs(RunConfig.model_validate({"workers": {"device": "cpu", "cpus": 2}})) == {"CPU": 2}
