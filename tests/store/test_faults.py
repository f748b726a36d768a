"""Stores that fail, are slow, full, or shut: never a wrong byte, and never an end of the work here."""

import errno
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from selkd.errors import UserError
from selkd.store import Nowhere, copies, store
from selkd.store.copies import Store
from selkd.store.patience import TRIES, Patience, Unreachable

Make = Callable[..., Path]
Tree = Callable[[Path], dict[str, bytes]]


class Times:
    """A fault that passes after so many requests of some kind."""

    def __init__(self, count: int, fault: Any, *methods: str) -> None:
        self.left, self.fault, self.methods = count, fault, methods
        self.met = 0

    def __call__(self, method: str, path: str) -> Any:
        if method not in self.methods or self.left == 0:
            return None
        self.left -= 1
        self.met += 1
        return self.fault


@pytest.mark.parametrize("status", [507, 500])
def test_a_store_that_fails_a_few_times_is_tried_again(
    faults: Any, run: Make, tree: Tree, caplog: Any, status: int
) -> None:
    kept = Store(faults.uri)
    faults.fault = fault = Times(4, status, "PUT")
    folder = run(a="content" * 100)
    assert kept.publish(folder)
    assert fault.met == 4
    assert "does not answer as it should" in caplog.text
    faults.fault = Times(3, status, "GET")
    kept.fetch(there := run("there"))
    assert tree(there) == tree(folder)
    kept.forget(folder)


def test_an_answer_that_is_cut_short_is_asked_for_again(faults: Any, run: Make, tree: Tree) -> None:
    kept = Store(faults.uri)
    kept.publish(folder := run(a="content" * 100_000))
    faults.fault = fault = Times(2, "cut", "GET")
    kept.fetch(there := run("there"))
    assert fault.met == 2
    assert tree(there) == tree(folder)
    kept.forget(folder)


def test_a_slow_store_is_waited_for(faults: Any, run: Make, tree: Tree) -> None:
    kept = Store(faults.uri)
    faults.fault = lambda method, path: time.sleep(0.1)
    kept.publish(folder := run(a="content"))
    kept.fetch(there := run("there"))
    assert tree(there) == tree(folder)
    kept.forget(folder)


def test_a_full_store_is_given_up_for_now_and_published_to_later(faults: Any, run: Make, tree: Tree) -> None:
    kept = Store(faults.uri)
    kept.publish(folder := run(a="first"))
    faults.fault = lambda method, path: 507 if method == "PUT" else None
    run(a="second")
    with pytest.raises(Unreachable, match="507"):
        kept.publish(folder)
    asked = faults.requests
    with pytest.raises(Unreachable):
        kept.publish(folder)
    assert faults.requests - asked <= 1, "a store that did not answer rests"
    faults.fault = lambda method, path: None
    kept = Store(faults.uri)
    kept.fetch(there := run("there"))
    assert tree(there) == {"a": b"first"}
    assert kept.publish(folder)
    kept.fetch(there)
    assert tree(there) == {"a": b"second"}
    kept.forget(folder)


def test_wrong_credentials_are_refused_at_once(faults: Any, run: Make) -> None:
    kept = Store(faults.uri)
    faults.fault, asked = (lambda method, path: 403), faults.requests
    with pytest.raises(UserError, match=r"SELKD_STORE: .* may not be used .*AWS_ACCESS_KEY_ID"):
        kept.publish(run(a="content"))
    assert faults.requests - asked <= 2


def test_a_bucket_that_does_not_exist_is_refused_at_once(s3: str) -> None:
    with pytest.raises(UserError, match="SELKD_STORE: there is no bucket nothere"):
        Store(f"s3://nothere/folder?endpoint_override={s3}&scheme=http&region=us-east-1")


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("/mnt/folder", "is no address"),
        ("nosuch://folder", "nosuch:// cannot be used"),
        ("s3://key:secret@bucket/folder", "holds no key or password"),
    ],
)
def test_what_is_no_address_is_refused_and_no_secret_repeated(uri: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        Store(uri)
    assert "secret" not in str(refused.value)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let us mount a small file system")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_keeps_what_it_had_and_takes_more_when_there_is_room(
    small_disk: Path, run: Make, tree: Tree
) -> None:
    kept = Store(f"file://{small_disk}/store")
    kept.publish(folder := run(a="first"))
    (small_disk / "ballast").write_bytes(bytes(150_000))
    run(a=bytes(100_000))
    with pytest.raises(Unreachable, match="No space left"):
        kept.publish(folder)
    kept = Store(kept.uri)
    kept.fetch(there := run("there"))
    assert tree(there) == {"a": b"first"}
    assert not [name for name in kept.place.sizes("runs") if name.endswith(".part")]
    (small_disk / "ballast").unlink()
    assert kept.publish(folder)
    kept.fetch(there)
    assert tree(there) == {"a": bytes(100_000)}


def test_pauses_grow_and_vary(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("selkd.store.patience.FIRST_PAUSE", 1.0)
    monkeypatch.setattr("selkd.store.patience.time.sleep", pauses.append)

    def fail() -> None:
        raise OSError(errno.EIO, "broken")

    with pytest.raises(Unreachable, match="broken"):
        Patience("there")(fail)
    assert len(pauses) == TRIES
    assert all(2**k / 2 <= pause <= 2**k for k, pause in enumerate(pauses[:5]))


def test_work_goes_on_without_its_store_and_says_what_is_not_there(
    faults: Any, run: Make, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "PACE", 0.01)
    kept = Store(faults.uri)
    faults.fault = lambda method, path: 507
    folder = run(a="content")
    with kept.following(lambda: kept.publish(folder), "the student"):
        worked = True
    assert worked
    assert "the student: not in the store yet; `selkd sync` brings it there later." in caplog.text


def test_what_grows_is_published_while_it_grows(kept: Store, run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "PACE", 0.01)
    folder, published = run(a="first"), threading.Event()

    def publish() -> None:
        kept.publish(folder)
        published.set()

    with kept.following(publish, "the student"):
        assert published.wait(60)
        run(a="last")
    kept.fetch(there := run("there"))
    assert (there / "a").read_text() == "last"


def test_files_that_change_while_they_are_published_make_no_mixed_version(kept: Store, run: Make, tree: Tree) -> None:
    """A checkpoint and its index belong together, whatever happens in between."""
    folder, done = run(index="0", tensors="0"), threading.Event()

    def change() -> None:
        for step in range(1, 200):
            for name in ("tensors", "index"):
                part = folder.parent / "part"
                part.write_text(str(step))
                part.replace(folder / name)
            if done.wait(0.02):
                return

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for _ in range(3):
            try:
                kept.publish(folder)
            except UserError as error:
                assert "change too often" in str(error) or "changed while" in str(error)
                continue
            kept.fetch(there := run("there"))
            index, tensors = (int(tree(there)[name]) for name in ("index", "tensors"))
            assert tensors - index in (0, 1)
    finally:
        done.set()
        changing.join()


def test_without_the_variable_there_is_no_store_and_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.delenv("SELKD_STORE", raising=False)
    assert isinstance(store(), Nowhere)
    asked = "import sys; from selkd.store import store; store().fetch(None); print('pyarrow' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "False"
