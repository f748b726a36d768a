"""One driver a study, whatever machine it is on."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from selkd.errors import Busy
from selkd.store import claims
from selkd.store.copies import Store

Study = Callable[[str], Path]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """The folder of a study on a machine."""

    def make(machine: str) -> Path:
        folder = tmp_path / machine / "studies" / "one"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    return make


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "BEAT", 0.05)
    monkeypatch.setattr(claims, "PATIENCE", 600)


def test_a_second_driver_is_refused_while_the_first_lives(kept: Store, study: Study):
    with kept.driving(study("a"), "one: busy.") as first:
        with pytest.raises(Busy, match=r"one: busy\. It runs on "), kept.driving(study("b"), "one: busy."):
            raise AssertionError("it was let in")
        assert not first.lost
    with kept.driving(study("b"), "busy"):
        pass
    assert kept.place.sizes("studies/one/drivers") == {}


def test_who_only_asks_to_drive_expels_nobody_and_who_drives_does(
    kept: Store, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "BEAT", 1000)
    with kept.driving(study("a"), "busy") as first:
        assert isinstance(first, claims.Claim)
        other = claims.Claim(kept.place, first.folder, "another", first.number + 1)
        for _ in range(2):
            first.renew()
            assert not first.lost
        other.write()
        first.renew()
        assert first.lost
        other.withdraw()


def test_a_dead_driver_is_followed_and_what_it_still_publishes_does_not_count(
    kept: Store, study: Study, monkeypatch: pytest.MonkeyPatch
):
    a, b = study("a"), study("b")
    monkeypatch.setattr(claims, "BEAT", 1000)
    monkeypatch.setattr(claims, "PATIENCE", 0.5)
    with kept.driving(a, "busy") as first:  # gives no sign of life
        (a / "ledger.jsonl").write_text("a\n")
        kept.publish(a, rank=first.number)
        with kept.driving(b, "busy") as second:
            assert second.number > first.number
            kept.fetch(b)
            (b / "ledger.jsonl").write_text("a\nb\n")
            kept.publish(b, rank=second.number)
            (a / "ledger.jsonl").write_text("a\nfrom the grave\n")
            assert not kept.publish(a, rank=first.number)
            assert isinstance(first, claims.Claim)
            first.renew()
            assert first.lost
    kept.fetch(study("c"))
    assert (study("c") / "ledger.jsonl").read_text() == "a\nb\n"


def test_the_workspace_of_a_killed_driver_does_not_wait_for_itself(
    kept: Store, study: Study, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(claims, "PATIENCE", 1e6)
    killed = kept.driving(study("a"), "busy")
    with monkeypatch.context() as patch:
        patch.setattr(claims, "BEAT", 1000)
        killed.__enter__()
    with kept.driving(study("a"), "busy") as again:
        assert again.number == 2
    killed.__exit__(None, None, None)


def test_of_many_that_begin_at_once_never_two_drive(kept: Store, study: Study):
    inside, most, refused = 0, 0, 0
    counting, start = threading.Lock(), threading.Barrier(4)

    def drive(machine: str) -> None:
        nonlocal inside, most, refused
        start.wait()
        try:
            with kept.driving(study(machine), "busy"):
                with counting:
                    inside += 1
                    most = max(most, inside)
                threading.Event().wait(0.2)
                with counting:
                    inside -= 1
        except Busy:
            with counting:
                refused += 1

    threads = [threading.Thread(target=drive, args=(machine,)) for machine in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert refused < 4
