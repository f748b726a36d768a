"""What holds for a store on every file system."""

import string
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selkd.errors import UserError
from selkd.store import Damaged
from selkd.store.copies import SUPERSEDED, Store

Make = Callable[..., Path]
Tree = Callable[[Path], dict[str, bytes]]

names = st.text(string.ascii_lowercase + "äß%# ", min_size=1, max_size=8).map(str.strip).filter(bool)
folders = st.dictionaries(st.lists(names, min_size=1, max_size=2).map("/".join), st.binary(max_size=3000), max_size=4)


def ledger(*events: str) -> bytes:
    return "".join(f"{event}\n" for event in events).encode()


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=folders, second=folders)
def test_what_is_published_is_fetched(kept: Store, tree: Tree, first: dict[str, bytes], second: dict[str, bytes]):
    with TemporaryDirectory() as place:
        here, there = Path(place) / "a" / "runs" / "some", Path(place) / "b" / "runs" / "some"
        kept.forget(here)
        for content in (first, second):
            for name, data in content.items():
                path = here / name
                if any(parent.is_file() for parent in path.parents) or path.is_dir():
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            here.mkdir(parents=True, exist_ok=True)
            assert kept.publish(here)
            assert kept.fetch(there) or tree(there) == tree(here)
            assert tree(there) == tree(here)
        assert not kept.fetch(there)


def test_nothing_is_there_before_it_is_published(kept: Store, run: Make):
    assert not kept.fetch(run())
    assert kept.names("runs") == set()


def test_only_what_changed_is_stored_and_what_it_replaces_is_removed(kept: Store, run: Make):
    folder = run(a="first", b="same")
    kept.publish(folder)
    before = set(kept.place.sizes("runs/key/objects"))
    run(a="second")
    kept.publish(folder)
    after = set(kept.place.sizes("runs/key/objects"))
    assert len(before & after) == 1
    assert len(after) == 2
    assert len(kept.place.sizes("runs/key/versions")) == 1


def test_locks_requests_and_cursors_stay_here(kept: Store, run: Make, tree: Tree):
    kept.publish(run(a="kept", end_json="[]", **{"delivered-1_json": "{}", "x.lock": "", "ray__state": "x"}))
    kept.fetch(there := run("there"))
    assert tree(there) == {"a": b"kept"}


def test_half_a_line_of_a_ledger_is_not_published(kept: Store, run: Make, tree: Tree):
    kept.publish(run(**{"ledger.jsonl": ledger("one", "two") + b"thr"}))
    kept.fetch(there := run("there"))
    assert tree(there) == {"ledger.jsonl": ledger("one", "two")}


def test_a_machine_goes_on_with_what_another_one_began(kept: Store, run: Make, tree: Tree):
    here = run(**{"ledger.jsonl": ledger("one")})
    kept.publish(here)
    there = run("there", **{".lock": ""})  # as whoever is to work on it has it
    assert kept.fetch(there)
    run("there", **{"ledger.jsonl": ledger("one", "two")})
    assert kept.publish(there)
    assert kept.fetch(here)
    assert tree(here) == {"ledger.jsonl": ledger("one", "two")}
    assert not (here / SUPERSEDED).exists()


def test_what_only_the_losing_machine_knows_is_set_aside(kept: Store, run: Make, tree: Tree):
    here = run(**{"ledger.jsonl": ledger("one")})
    kept.publish(here)
    kept.fetch(there := run("there"))
    run(**{"ledger.jsonl": ledger("one", "never published")})
    run("there", **{"ledger.jsonl": ledger("one", "two")})
    kept.publish(there)
    assert kept.fetch(here)
    assert tree(here) == {"ledger.jsonl": ledger("one", "two")}
    [aside] = (here / SUPERSEDED).iterdir()
    assert aside.read_bytes() == ledger("one", "never published")


def test_a_higher_rank_is_not_replaced(kept: Store, run: Make, tree: Tree):
    finished, unfinished = run("there", a="finished"), run(a="unfinished")
    assert kept.publish(finished, rank=1)
    assert not kept.publish(unfinished, rank=0)
    kept.fetch(third := run("third"))
    assert tree(third) == {"a": b"finished"}


def test_another_study_of_the_same_name_is_refused(kept: Store, tmp_path: Path):
    for machine in ("here", "there"):
        folder = tmp_path / machine / "studies" / "same"
        folder.mkdir(parents=True)
        (folder / "ledger.jsonl").write_bytes(ledger(machine))
    kept.publish(tmp_path / "here" / "studies" / "same")
    with pytest.raises(UserError, match="has another study of this name"):
        kept.fetch(tmp_path / "there" / "studies" / "same")
    assert (tmp_path / "there" / "studies" / "same" / "ledger.jsonl").read_bytes() == ledger("there")


@pytest.mark.parametrize("what", ["objects", "versions"])
def test_damage_is_found_named_and_never_used(kept: Store, run: Make, tree: Tree, what: str):
    kept.publish(run(a="sound"))
    [name] = kept.place.sizes(f"runs/key/{what}")
    content = kept.place.get(name)
    kept.place.put(name, lambda: [content[:2], b"!", content[3:]])
    there = run("there", old="of before")
    with pytest.raises(Damaged, match=name.rpartition("/")[2]):
        kept.fetch(there)
    assert tree(there) == {"old": b"of before"}


def test_a_missing_object_is_named(kept: Store, run: Make):
    kept.publish(run(a="sound"))
    [name] = kept.place.sizes("runs/key/objects")
    kept.place.delete(name)
    with pytest.raises(Damaged, match="names what is not there"):
        kept.fetch(run("there"))


def test_what_is_forgotten_is_gone(kept: Store, run: Make):
    kept.publish(folder := run(a="sound"))
    assert kept.names("runs") == {"key"}
    kept.forget(folder)
    assert not kept.fetch(run("there"))
    assert kept.place.sizes("runs") == {}


def test_names_that_lead_out_of_the_folder_are_refused(kept: Store, run: Make, tmp_path: Path):
    from selkd.store import versions

    kept.publish(run(a="sound"))
    name = versions.newest(kept.place, "runs/key")
    assert name is not None
    [file] = versions.read(kept.place, "runs/key", name).values()
    versions.write(kept.place, "runs/key", name, {"../../../outside": file})
    with pytest.raises(Damaged):
        kept.fetch(run("there"))
    assert not list(tmp_path.rglob("outside"))
