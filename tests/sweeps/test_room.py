"""Students at once: workers are whole on a node, and a student has all of its workers."""

from pathlib import Path
from typing import Any

import pytest

from selkd.config import RunConfig, Workspace
from selkd.errors import UserError
from selkd.sweeps import run
from selkd.sweeps.room import PROMISED, all_nodes, at_once, here, needs, room, slots

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


@pytest.mark.parametrize(
    ("workers", "said"),
    [
        ({"cpus": 4096}, "workers.cpus: 4096 a worker, and no node has more than"),
        ({"device": "cuda", "gpus": 64}, "workers.gpus: 64 a worker, and no node has more"),
    ],
)
def test_what_this_machine_has_no_room_for_is_refused(workers: dict[str, Any], said: str) -> None:
    config = RunConfig.model_validate({"workers": {"device": "cpu", **workers}})
    with pytest.raises(UserError, match=said):
        room(here(config), config, None)


def test_what_does_not_fit_is_said_before_a_teacher_is_taught(
    space: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "starts_here", lambda: True)  # whatever other tests started in this process
    base = {"objective": "selkd", "workers": {"device": "cpu", "cpus": 4096}}
    with pytest.raises(UserError, match="no node has more than"):
        run.sweep(
            space(base=base, teacher={"name": "big"}),
            Workspace(tmp_path),
            on_teacher_epoch=lambda _: pytest.fail("taught"),
        )
    assert not list(tmp_path.glob("teachers/*"))


def test_a_student_of_many_workers_may_crowd_this_machine() -> None:
    config = RunConfig.model_validate({"workers": {"device": "cpu", "count": 1000}})
    assert room(here(config), config, None) == 1


def test_a_worker_fits_where_all_that_it_holds_is() -> None:
    assert slots([BIG, BIG | {"GPU": 2}, SMALL], {"CPU": 1, "GPU": 0.5}) == 4
    assert needs(RunConfig.model_validate({"workers": {"device": "cpu", "cpus": 2}}), [BIG]) == {"CPU": 2}


@pytest.mark.parametrize(
    ("device", "nodes", "gpus"),
    [
        ("auto", [BIG], None),
        ("auto", [BIG, BIG | {"GPU": 2}], 1),
        ("cpu", [BIG | {"GPU": 2}], None),
        ("cuda", [BIG], 1),
    ],
)
def test_gpus_of_any_node_are_taken_whatever_the_drivers_machine_has(device: str, nodes: Any, gpus: int | None) -> None:
    """On clusters the driver runs on a head without a GPU."""
    assert needs(RunConfig.model_validate({"workers": {"device": device}}), nodes).get("GPU") == gpus


def test_a_cluster_that_grows_is_asked_for_all_it_may_become(monkeypatch: pytest.MonkeyPatch) -> None:
    config = RunConfig.model_validate({"workers": {"device": "cpu"}})
    assert all_nodes([SMALL]) == [SMALL]
    monkeypatch.setenv(PROMISED, '[[3, {"CPU": 8, "GPU": 0}], [2, {"CPU": 4, "GPU": 1}]]')
    assert at_once(config, all_nodes([]), None) == 3 * 8 + 2 * 4
