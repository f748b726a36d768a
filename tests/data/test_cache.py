"""Arrays are made once, shared between processes, checked on reading, and whole or absent whatever happens."""

import functools
import logging
import multiprocessing
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from selkd.data import cache as module
from selkd.data.cache import ArrayCache, Create
from selkd.errors import UserError
from selkd.files import checksum, fingerprint

KEY = {"teacher": "t", "views": 2, "drawn": None}
WHAT = "the ramps"


def ramp(create: Create) -> None:
    create("values", (5, 3), "<f4")[:] = np.arange(15).reshape(5, 3)
    create("counts", (4,), "<i8")[:] = 7


def refuse(create: Create) -> None:
    raise AssertionError("stored arrays were made again")


def kept(root: Path) -> list[str]:
    """What a failed attempt must not leave behind: everything except locks."""
    return sorted(file.name for file in root.rglob("*") if file.suffix != ".lock") if root.exists() else []


class TestStore:
    def test_arrays_are_made_once_and_then_mapped_read_only(self, tmp_path: Path) -> None:
        made = ArrayCache(tmp_path / "cache").get(KEY, ramp, what=WHAT)
        found = ArrayCache(tmp_path / "cache").get(dict(reversed(KEY.items())), refuse, what=WHAT)
        assert found.fingerprint == made.fingerprint == fingerprint(KEY)
        assert found.folder == tmp_path / "cache" / fingerprint(KEY)
        assert set(found) == {"values", "counts"}
        assert len(found) == 2
        assert np.array_equal(found["values"], np.arange(15, dtype=np.float32).reshape(5, 3))
        assert found["values"].dtype == np.float32
        assert isinstance(found["values"], np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            found["values"][0, 0] = 1

    def test_arrays_without_elements_are_kept(self, tmp_path: Path) -> None:
        cache = ArrayCache(tmp_path)
        for make in (lambda create: create("none", (0, 3), "<f4"), refuse):
            assert cache.get(KEY, make, what=WHAT)["none"].shape == (0, 3)

    def test_checksums_are_compared_once_per_process(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        ArrayCache(tmp_path).get(KEY, ramp, what=WHAT)
        monkeypatch.setattr("selkd.data.cache.checksum", lambda file: pytest.fail(f"{file} was read again"))
        ArrayCache(tmp_path).get(KEY, refuse, what=WHAT)

    def test_processes_that_want_the_same_arrays_make_them_once(self, tmp_path: Path) -> None:
        calls, cache = tmp_path / "calls", ArrayCache(tmp_path / "cache")

        def slow(create: Create) -> None:
            with calls.open("a") as file:
                file.write(f"{os.getpid()}\n")
            time.sleep(0.3)
            ramp(create)

        def want() -> None:
            ready.wait()
            assert float(cache.get(KEY, slow, what=WHAT)["values"].sum()) == 105

        processes = multiprocessing.get_context("fork")
        ready = processes.Barrier(4)
        workers = [processes.Process(target=want) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        assert [worker.exitcode for worker in workers] == [0] * 4
        assert len(calls.read_text().splitlines()) == 1

    def test_who_waits_for_another_is_told_once_what_is_made_where(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun, told, lines = threading.Event(), threading.Event(), list[str]()

        class Heard(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                lines.append(record.getMessage())
                told.set()

        def until_told(create: Create) -> None:
            begun.set()
            assert told.wait(60)
            ramp(create)

        monkeypatch.setattr(module, "PATIENCE", 0.05)
        handler, cache = Heard(), ArrayCache(tmp_path)
        maker = threading.Thread(target=cache.get, args=(KEY, until_told), kwargs={"what": WHAT})
        module.log.addHandler(handler)
        try:
            maker.start()
            assert begun.wait(60)
            assert float(ArrayCache(tmp_path).get(KEY, refuse, what=WHAT)["values"].sum()) == 105
        finally:
            module.log.removeHandler(handler)
            told.set()
            maker.join()
        assert lines == [f"waiting for another process that makes the ramps in {tmp_path / fingerprint(KEY)}"]

    def test_a_process_killed_while_making_arrays_leaves_no_rubbish(self, tmp_path: Path) -> None:
        def die(create: Create) -> None:
            create("values", (5, 3), "<f4")[:] = 1
            os.kill(os.getpid(), signal.SIGKILL)

        get = functools.partial(ArrayCache(tmp_path).get, KEY, die, what=WHAT)
        victim = multiprocessing.get_context("fork").Process(target=get)
        victim.start()
        victim.join(60)
        assert victim.exitcode == -signal.SIGKILL
        assert len(kept(tmp_path)) == 2  # the unfinished folder and its array
        assert float(ArrayCache(tmp_path).get(KEY, ramp, what=WHAT)["values"].sum()) == 105
        assert kept(tmp_path) == sorted([fingerprint(KEY), "counts.npy", "meta.json", "values.npy"])

    @pytest.mark.parametrize("file", ["values.npy", "meta.json"])
    @pytest.mark.parametrize("damage", ["flipped", "truncated", "emptied", "removed", "folder"])
    def test_damaged_arrays_are_made_again_with_a_warning_that_names_them_and_the_file(
        self, tmp_path: Path, file: str, damage: str
    ) -> None:
        cache = ArrayCache(tmp_path)
        folder = cache.get(KEY, ramp, what=WHAT).folder
        sound = {found.name: checksum(found) for found in folder.iterdir()}
        _damage(folder / file, damage)
        with pytest.warns(UserWarning, match=rf"{file}.*: the ramps are made again"):
            again = cache.get(KEY, ramp, what=WHAT)
        assert float(again["values"].sum()) == 105
        assert {found.name: checksum(found) for found in folder.iterdir()} == sound
        cache.get(KEY, refuse, what=WHAT)

    def test_arrays_moved_to_another_key_are_not_believed(self, tmp_path: Path) -> None:
        cache, other = ArrayCache(tmp_path), {**KEY, "views": 3}
        cache.get(KEY, ramp, what=WHAT).folder.rename(tmp_path / fingerprint(other))
        with pytest.warns(UserWarning, match="other arrays"):
            cache.get(other, ramp, what=WHAT)

    def test_a_mapped_array_survives_its_replacement(self, tmp_path: Path) -> None:
        cache = ArrayCache(tmp_path)
        mapped = cache.get(KEY, ramp, what=WHAT)
        (mapped.folder / "meta.json").unlink()
        with pytest.warns(UserWarning, match=r"meta\.json"):
            cache.get(KEY, ramp, what=WHAT)
        assert float(mapped["values"].sum()) == 105

    def test_a_failed_making_leaves_nothing_and_can_be_repeated(self, tmp_path: Path) -> None:
        def fail(create: Create) -> None:
            ramp(create)
            raise RuntimeError("no teacher")

        cache = ArrayCache(tmp_path)
        with pytest.raises(RuntimeError, match="no teacher"):
            cache.get(KEY, fail, what=WHAT)
        assert kept(tmp_path) == []
        assert float(cache.get(KEY, ramp, what=WHAT)["values"].sum()) == 105

    def test_a_file_that_cannot_be_read_meanwhile_is_not_called_a_full_disk(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"the ramps could not be made.*No such file.*missing\.png"):
            ArrayCache(tmp_path / "cache").get(KEY, lambda _: (tmp_path / "missing.png").open().close(), what=WHAT)
        assert kept(tmp_path / "cache") == []


class TestDisk:
    @pytest.mark.parametrize("kilobytes", [1, 40, 52, 56, 60, 64, 68, 200, 4000])
    def test_a_full_disk_gives_a_readable_error_or_whole_arrays(self, small_disk: Path, kilobytes: int) -> None:
        def fill(create: Create) -> None:
            create("values", (kilobytes, 256), "<f4")[:] = 1
            create("more", (8,), "<f4")[:] = 1

        cache = ArrayCache(small_disk)
        if kilobytes <= 40:
            assert float(cache.get(KEY, fill, what=WHAT)["values"].sum()) == kilobytes * 256
            return
        with pytest.raises(UserError, match=r"cannot write .*: No space left on device\. Free space"):
            cache.get(KEY, fill, what=WHAT)
        assert kept(small_disk) == []

    def test_a_read_only_folder_gives_a_readable_error(self, read_only: Path) -> None:
        with pytest.raises(UserError, match=r"cannot write .*Read-only file system.*writable folder"):
            ArrayCache(read_only / "new").get(KEY, ramp, what=WHAT)
        with pytest.raises(UserError, match=r"cannot write .*Read-only file system.*writable folder"):
            ArrayCache(read_only).get({"other": 1}, ramp, what=WHAT)
        assert fingerprint({"other": 1}) not in kept(read_only)

    def test_stored_arrays_are_read_from_a_read_only_folder(self, read_only: Path) -> None:
        assert float(ArrayCache(read_only).get(KEY, refuse, what=WHAT)["values"].sum()) == 105


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    yield from _mounted(tmp_path / "disk", ["-t", "tmpfs", "-o", "size=60k", "tmpfs"])


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    ArrayCache(tmp_path / "writable").get(KEY, ramp, what=WHAT)
    yield from _mounted(tmp_path / "fixed", ["--bind", str(tmp_path / "writable")], "remount,ro,bind")


def _mounted(place: Path, arguments: list[str], remount: str | None = None) -> Iterator[Path]:
    place.mkdir()
    commands = [["mount", *arguments, str(place)]]
    commands += [["mount", "-o", remount, str(place)]] if remount else []
    try:
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], capture_output=True, check=False)


def _damage(file: Path, damage: str) -> None:
    content = bytearray(file.read_bytes())
    if damage in ("removed", "folder"):
        file.unlink()
        if damage == "folder":
            file.mkdir()
        return
    if damage == "flipped":
        content[len(content) // 2] ^= 0x40
    elif damage == "truncated":
        content = content[: len(content) // 2]
    else:
        content.clear()
    changed = file.stat().st_mtime_ns + 1
    file.write_bytes(content)
    os.utime(file, ns=(changed, changed))
