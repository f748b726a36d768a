"""Trials keep away from nodes on which no process starts."""

import pytest

from selkd.sweeps import places
from selkd.sweeps.places import LABEL, NODE, Places, placement


def test_a_trial_that_never_began_goes_where_others_did_and_anywhere_once_it_ended() -> None:
    alive = {"good", "sick", "gone"}
    found = Places(lambda: alive)
    assert found.allowed("a") == []
    found.started("b")
    assert not found.lost("a"), "nobody knows yet whose fault it is"
    assert found.allowed("a") == []
    for node in ("good", "gone"):
        found.began(node)
    alive.remove("gone")
    assert found.allowed("a") == ["good"]
    assert found.lost("a"), "it did not begin on a good node either"
    assert found.allowed("c") == [], "others take any node"
    found.started("a")
    assert found.lost("a"), "that it was lost while it trained says nothing of the node"
    assert found.allowed("a") == []


def test_where_nobody_begins_losses_count_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(places.time, "monotonic", lambda: now)
    found = Places(lambda: {"sick"})
    assert not found.lost("a")
    now += places.HOPE / 2
    assert not found.lost("b")
    now += places.HOPE
    assert found.lost("a")


def test_an_order_that_names_nodes_asks_ray_for_them() -> None:
    anywhere, there = (placement({"CPU": 1.0}, {NODE: nodes}) for nodes in ([], ["n1", "n2"]))
    assert anywhere == placement({"CPU": 1.0}, {NODE: []}), "so that processes are used again"
    assert "in(n1,n2)" in str(there) and LABEL in str(there)
    assert there != anywhere
