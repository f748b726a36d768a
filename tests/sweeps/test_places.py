"""Trials keep away from nodes on which no process starts."""

from types import SimpleNamespace
from typing import Any

import pytest

from selkd.sweeps import places, tuning
from selkd.sweeps.places import LABEL, SHUNNED, Places, placement
from selkd.sweeps.tuning import Clerk, ClusterLost


def test_a_trial_that_never_began_goes_where_others_train_or_to_new_nodes() -> None:
    alive = {"good", "sick"}
    found = Places(lambda: alive)
    assert found.shunned("a") == []
    found.started("b")
    assert not found.lost("a"), "nobody knows yet whose fault it is"
    assert found.shunned("a") == []
    found.began("b", "good")
    assert found.lost("a")
    assert found.shunned("a") == ["sick"]
    assert found.shunned("c") == [], "others take any node"
    alive.add("new")
    found.started("a")
    assert found.shunned("a") == []
    assert found.lost("a"), "that it was lost while it trained says nothing of the node"
    assert found.shunned("a") == []


def test_a_node_that_was_good_and_is_not_any_more_is_shunned_as_well() -> None:
    found = Places(lambda: {"one", "two"})
    for key, node in (("a", "one"), ("b", "two")):
        found.started(key)
        found.began(key, node)
    assert found.lost("a")  # the node's disk is full: nothing starts there again
    assert found.lost("a")
    assert found.shunned("a") == ["one"]


def test_where_nobody_begins_losses_count_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(places.time, "monotonic", lambda: now)
    found = Places(lambda: {"sick"})
    assert not found.lost("a")
    now += places.HOPE / 2
    assert not found.lost("b")
    now += places.HOPE
    assert found.lost("a")
    found.began("c", "good")
    assert not found.lost("a"), "some node is good, and it is gone again"


def test_an_order_that_shuns_nodes_asks_ray_for_others() -> None:
    anywhere, elsewhere = (placement({"CPU": 1.0}, {SHUNNED: nodes}) for nodes in ([], ["n1", "n2"]))
    assert anywhere == placement({"CPU": 1.0}, {SHUNNED: []}), "so that processes are used again"
    assert "!in(n1,n2)" in str(elsewhere)
    assert LABEL in str(elsewhere)
    assert elsewhere != anywhere


def test_a_study_ends_where_no_node_is_left_on_which_processes_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial that waits for another node would wait for ever."""
    now, alive = 100.0, {"good", "sick"}
    monkeypatch.setattr(tuning.time, "monotonic", lambda: now)
    told: list[str] = []
    director: Any = SimpleNamespace(
        lost=lambda key, reason: told.append("lost"), again=lambda key: told.append("again")
    )
    clerk = Clerk(director, where := Places(lambda: set(alive)), lambda key: None)
    trial: Any = SimpleNamespace(config={"key": "a"}, error_file=None, metric_analysis={}, metric_n_steps={})
    clerk.on_trial_error(0, [], trial)
    where.started("b")
    where.began("b", "good")
    clerk.on_trial_error(0, [], trial)
    assert told == ["again", "lost"]
    now += 2 * tuning.LONELY
    clerk.on_step_end(0, [])
    alive = {"sick", "new"}
    now += 2 * tuning.LONELY
    clerk.on_step_end(0, [])
    alive = {"sick"}
    now += tuning.LONELY / 2
    clerk.on_step_end(0, [])
    now += tuning.LONELY
    with pytest.raises(ClusterLost, match="no node on which processes start"):
        clerk.on_step_end(0, [])
