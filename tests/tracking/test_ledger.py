import json
import os
import resource
import signal
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from selkd.errors import UserError
from selkd.tracking import Ledger


class Child:
    """A forked process that runs `work` with a function which tells this process a number."""

    def __init__(self, work: Callable[[Callable[[int], object]], None]) -> None:
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                work(lambda number: os.write(writing, b"%d\n" % number))
            finally:
                os._exit(0)
        os.close(writing)
        self.told = os.fdopen(reading)

    def wait(self) -> list[int]:
        """What it told, once it has ended."""
        with self.told:
            numbers = [int(line) for line in self.told]
        os.waitpid(self.pid, 0)
        return numbers


def appending(path: Path, who: str, count: int) -> Callable[[Callable[[int], object]], None]:
    def work(tell: Callable[[int], object]) -> None:
        ledger = Ledger(path)
        for number in range(count):
            ledger.append("count", who=who, number=number, filling="x" * 300)
            tell(number)

    return work


def filled(path: Path) -> Ledger:
    ledger = Ledger(path)
    for number in range(3):
        ledger.append("count", number=number)
    return ledger


def test_events_come_back_in_order_with_numbers_and_times(tmp_path):
    ledger = filled(tmp_path / "ledger.jsonl")
    events = Ledger(ledger.path).events()
    assert events == ledger.events()
    assert [e["event"] for e in events] == ["ledger", "count", "count", "count"]
    assert [e["n"] for e in events] == [0, 1, 2, 3]
    assert [e["number"] for e in events[1:]] == [0, 1, 2]
    assert all(a["time"] <= b["time"] for a, b in pairwise(events))


def test_lines_are_strict_json_even_for_numbers_that_json_lacks(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append("log", metrics={"a": float("nan"), "b": [float("-inf")], "c": 1e-300}, name="Größe \udce9 \n")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    lines = [json.loads(line, parse_constant=refuse) for line in ledger.path.read_text().splitlines()]
    assert lines[1]["metrics"] == {"a": "nan", "b": ["-inf"], "c": 1e-300}
    assert Ledger(ledger.path).events()[1]["name"] == "Größe \udce9 \n"


def test_two_ledgers_of_the_same_trial_have_different_identities(tmp_path):
    assert filled(tmp_path / "a.jsonl").id != filled(tmp_path / "b.jsonl").id
    assert Ledger(tmp_path / "a.jsonl").id == Ledger(tmp_path / "a.jsonl").id


def test_reading_creates_nothing(tmp_path):
    assert Ledger(tmp_path / "none" / "ledger.jsonl").events() == []
    assert list(tmp_path.iterdir()) == []


def test_a_torn_end_is_ignored_by_readers_and_cut_off_with_a_note_by_the_next_append(tmp_path):
    whole = filled(tmp_path / "whole.jsonl").path.read_bytes()
    last = whole[:-1].rindex(b"\n") + 1
    for cut in range(last + 1, len(whole)):
        path = tmp_path / f"cut-{cut}.jsonl"
        path.write_bytes(whole[:cut])
        ledger = Ledger(path)
        assert [e["n"] for e in ledger.events()] == [0, 1, 2]
        assert path.read_bytes() == whole[:cut]
        ledger.append("count", number=9)
        kinds = [(e["event"], e.get("bytes"), e.get("number")) for e in Ledger(path).events()[3:]]
        assert kinds == [("torn", cut - last, None), ("count", None, 9)]


def test_a_line_damaged_in_the_middle_is_refused_by_file_and_line(tmp_path):
    whole = filled(tmp_path / "whole.jsonl").path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for index, line in enumerate(lines[:-1]):
        path = tmp_path / f"damaged-{index}.jsonl"
        path.write_bytes(b"".join([*lines[:index], line.replace(b'"time":1', b'"time":2'), *lines[index + 1 :]]))
        for use in (Ledger(path).events, lambda path=path: Ledger(path).append("count")):
            with pytest.raises(UserError, match=rf"{path.name}, line {index + 1}: damaged"):
                use()


def test_a_line_that_is_missing_or_repeated_is_refused(tmp_path):
    lines = filled(tmp_path / "whole.jsonl").path.read_bytes().splitlines(keepends=True)
    for name, kept in {"missing": [0, 2, 3], "repeated": [0, 1, 1, 2, 3], "exchanged": [0, 2, 1, 3]}.items():
        path = tmp_path / f"{name}.jsonl"
        path.write_bytes(b"".join(lines[k] for k in kept))
        with pytest.raises(UserError, match="line"):
            Ledger(path).events()


def test_processes_that_append_at_once_lose_and_mix_nothing(tmp_path):
    path = tmp_path / "ledger.jsonl"
    children = [Child(appending(path, who, 60)) for who in "ab"]
    assert [child.wait() for child in children] == [list(range(60))] * 2
    events = Ledger(path).events()
    assert [e["event"] for e in events] == ["ledger"] + ["count"] * 120
    for who in "ab":
        assert [e["number"] for e in events if e.get("who") == who] == list(range(60))


def test_what_append_returned_from_survives_kill_9(tmp_path):
    path = tmp_path / "ledger.jsonl"
    child = Child(appending(path, "a", 100_000))
    first = [int(child.told.readline()) for _ in range(20)]
    os.kill(child.pid, signal.SIGKILL)
    promised = first + child.wait()
    ledger = Ledger(path)
    ledger.append("count", number=-1)
    numbers = [e["number"] for e in ledger.events() if e["event"] == "count"]
    assert numbers[: len(promised)] == promised == list(range(len(promised)))
    assert len(numbers) - len(promised) in (1, 2)


def test_a_write_that_no_room_is_left_for_leaves_whole_lines_only(tmp_path):
    """The limit on the file's size makes the kernel write a part of a line and refuse the rest."""
    path = tmp_path / "ledger.jsonl"

    def work(tell: Callable[[int], object]) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
        with pytest.raises(UserError, match=f"cannot write {path}"):
            appending(path, "a", 50)(tell)
        tell(-1)

    *told, last = Child(work).wait()
    assert last == -1
    assert path.read_bytes().endswith(b"\n")
    ledger = Ledger(path)
    assert len(ledger.events()) == 1 + len(told) < 50
    ledger.append("count", number=-1)
    assert "torn" not in [e["event"] for e in ledger.events()]


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("mounting needs rights that this user lacks")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_the_users_to_solve_and_loses_nothing(small_disk):
    ledger = Ledger(small_disk / "ledger.jsonl")
    with pytest.raises(UserError, match=r"No space left.*Free space"):
        for number in range(100):
            ledger.append("count", number=number, filling="x" * 1000)
    known = ledger.events()
    assert 1 < len(known) < 20
    assert Ledger(ledger.path).events() == known
    os.truncate(ledger.path, sum(len(line) + 1 for line in ledger.path.read_bytes().splitlines()[:5]))
    again = Ledger(ledger.path)
    again.append("count", number=-1)
    assert again.events()[:5] == known[:5]
    assert len(Ledger(ledger.path).events()) == 6
