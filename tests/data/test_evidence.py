"""Evidence is computed once, shared between processes, checked on reading, and whole or absent whatever happens."""

import math
import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from selkd.data.augment import Augmentation, augment
from selkd.data.dataset import Part
from selkd.data.evidence import Create, Evidence, EvidenceStore, statistics, teacher_logits
from selkd.data.rows import ArrayRows
from selkd.errors import UserError
from selkd.files import checksum, fingerprint

torch.set_num_threads(1)

KEY = {"teacher": "t", "views": 2, "drawn": None}
FILL = torch.tensor([0.1, 0.2, 0.3])
CROPS = Augmentation(crop=2, flip=True, erase=0.5)


def ramp(create: Create) -> None:
    create("values", (5, 3), "<f4")[:] = np.arange(15).reshape(5, 3)
    create("counts", (4,), "<i8")[:] = 7


def refuse(create: Create) -> None:
    raise AssertionError("stored evidence was computed again")


def kept(root: Path) -> list[str]:
    """What a failed attempt must not leave behind: everything except locks."""
    return sorted(file.name for file in root.rglob("*") if file.suffix != ".lock") if root.exists() else []


class TestStore:
    def test_evidence_is_computed_once_and_then_mapped_read_only(self, tmp_path: Path) -> None:
        made = EvidenceStore(tmp_path / "evidence").get(KEY, ramp)
        found = EvidenceStore(tmp_path / "evidence").get(dict(reversed(KEY.items())), refuse)
        assert found.fingerprint == made.fingerprint == fingerprint(KEY)
        assert found.folder == tmp_path / "evidence" / fingerprint(KEY)
        assert set(found) == {"values", "counts"}
        assert len(found) == 2
        assert np.array_equal(found["values"], np.arange(15, dtype=np.float32).reshape(5, 3))
        assert found["values"].dtype == np.float32
        assert isinstance(found["values"], np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            found["values"][0, 0] = 1

    def test_arrays_without_elements_are_kept(self, tmp_path: Path) -> None:
        store = EvidenceStore(tmp_path)
        for make in (lambda create: create("none", (0, 3), "<f4"), refuse):
            assert store.get(KEY, make)["none"].shape == (0, 3)

    def test_checksums_are_compared_once_per_process(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        EvidenceStore(tmp_path).get(KEY, ramp)
        monkeypatch.setattr("selkd.data.evidence.checksum", lambda file: pytest.fail(f"{file} was read again"))
        EvidenceStore(tmp_path).get(KEY, refuse)

    def test_processes_that_want_the_same_evidence_compute_it_once(self, tmp_path: Path) -> None:
        calls, store = tmp_path / "calls", EvidenceStore(tmp_path / "evidence")

        def slow(create: Create) -> None:
            with calls.open("a") as file:
                file.write(f"{os.getpid()}\n")
            time.sleep(0.3)
            ramp(create)

        def want() -> None:
            ready.wait()
            assert float(store.get(KEY, slow)["values"].sum()) == 105

        processes = multiprocessing.get_context("fork")
        ready = processes.Barrier(4)
        workers = [processes.Process(target=want) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        assert [worker.exitcode for worker in workers] == [0] * 4
        assert len(calls.read_text().splitlines()) == 1

    def test_a_process_killed_while_computing_leaves_no_evidence_and_no_rubbish(self, tmp_path: Path) -> None:
        def die(create: Create) -> None:
            create("values", (5, 3), "<f4")[:] = 1
            os.kill(os.getpid(), signal.SIGKILL)

        victim = multiprocessing.get_context("fork").Process(target=EvidenceStore(tmp_path).get, args=(KEY, die))
        victim.start()
        victim.join(60)
        assert victim.exitcode == -signal.SIGKILL
        assert len(kept(tmp_path)) == 2  # the unfinished folder and its array
        assert float(EvidenceStore(tmp_path).get(KEY, ramp)["values"].sum()) == 105
        assert kept(tmp_path) == sorted([fingerprint(KEY), "counts.npy", "meta.json", "values.npy"])

    @pytest.mark.parametrize("file", ["values.npy", "meta.json"])
    @pytest.mark.parametrize("damage", ["flipped", "truncated", "emptied", "removed", "folder"])
    def test_damaged_evidence_is_recomputed_with_a_warning_that_names_the_file(
        self, tmp_path: Path, file: str, damage: str
    ) -> None:
        store = EvidenceStore(tmp_path)
        folder = store.get(KEY, ramp).folder
        sound = {found.name: checksum(found) for found in folder.iterdir()}
        _damage(folder / file, damage)
        with pytest.warns(UserWarning, match=rf"{file}.* computed again"):
            again = store.get(KEY, ramp)
        assert float(again["values"].sum()) == 105
        assert {found.name: checksum(found) for found in folder.iterdir()} == sound
        store.get(KEY, refuse)

    def test_evidence_moved_to_another_key_is_not_believed(self, tmp_path: Path) -> None:
        store, other = EvidenceStore(tmp_path), {**KEY, "views": 3}
        store.get(KEY, ramp).folder.rename(tmp_path / fingerprint(other))
        with pytest.warns(UserWarning, match="other evidence"):
            store.get(other, ramp)

    def test_a_mapped_array_survives_its_replacement(self, tmp_path: Path) -> None:
        store = EvidenceStore(tmp_path)
        mapped = store.get(KEY, ramp)
        (mapped.folder / "meta.json").unlink()
        with pytest.warns(UserWarning, match=r"meta\.json"):
            store.get(KEY, ramp)
        assert float(mapped["values"].sum()) == 105

    def test_a_failed_computation_leaves_nothing_and_can_be_repeated(self, tmp_path: Path) -> None:
        def fail(create: Create) -> None:
            ramp(create)
            raise RuntimeError("no teacher")

        store = EvidenceStore(tmp_path)
        with pytest.raises(RuntimeError, match="no teacher"):
            store.get(KEY, fail)
        assert kept(tmp_path) == []
        assert float(store.get(KEY, ramp)["values"].sum()) == 105

    def test_a_file_that_cannot_be_read_while_computing_is_not_called_a_full_disk(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"could not be computed.*No such file.*missing\.png"):
            EvidenceStore(tmp_path / "evidence").get(KEY, lambda create: (tmp_path / "missing.png").open().close())
        assert kept(tmp_path / "evidence") == []


class TestDisk:
    @pytest.mark.parametrize("kilobytes", [1, 40, 52, 56, 60, 64, 68, 200, 4000])
    def test_a_full_disk_gives_a_readable_error_or_whole_evidence(self, small_disk: Path, kilobytes: int) -> None:
        def fill(create: Create) -> None:
            create("values", (kilobytes, 256), "<f4")[:] = 1
            create("more", (8,), "<f4")[:] = 1

        store = EvidenceStore(small_disk)
        if kilobytes <= 40:
            assert float(store.get(KEY, fill)["values"].sum()) == kilobytes * 256
            return
        with pytest.raises(UserError, match=r"cannot write .*: No space left on device\. Free space"):
            store.get(KEY, fill)
        assert kept(small_disk) == []

    def test_a_read_only_folder_gives_a_readable_error(self, read_only: Path) -> None:
        with pytest.raises(UserError, match=r"cannot write .*Read-only file system.*writable folder"):
            EvidenceStore(read_only / "new").get(KEY, ramp)
        with pytest.raises(UserError, match=r"cannot write .*Read-only file system.*writable folder"):
            EvidenceStore(read_only).get({"other": 1}, ramp)
        assert fingerprint({"other": 1}) not in kept(read_only)

    def test_stored_evidence_is_read_from_a_read_only_folder(self, read_only: Path) -> None:
        assert float(EvidenceStore(read_only).get(KEY, refuse)["values"].sum()) == 105


@dataclass
class Teacher:
    """Four logits that are four pixels, and a count of how often it was asked."""

    asked: int = 0

    def __call__(self, images: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        assert images.dtype == torch.float32
        self.asked += 1
        return images[:, 0, 3:5, 2:4].flatten(1)


@pytest.fixture
def part() -> Part:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (50, 3, 8, 8), generator=generator, dtype=torch.uint8).numpy()
    rows = ArrayRows(images, torch.zeros(50, dtype=torch.int64))
    return Part(rows, torch.randperm(50, generator=generator)[:23])


def in_unit_range(part: Part) -> Tensor:
    return part.pixels(torch.arange(len(part))).float() / 255


@pytest.fixture
def ask(tmp_path: Path, part: Part) -> Callable[..., Evidence]:
    def teach(**changed: Any) -> Evidence:
        usual: dict[str, Any] = {
            "teacher_fingerprint": "teacher", "logits_of": Teacher(), "part": part, "data_fingerprint": "data",
            "part_name": "train", "views": 3, "augmentation": CROPS, "seed": 5, "fill": FILL, "device": "cpu",
            "batch_size": 10,
        }  # fmt: skip
        return teacher_logits(EvidenceStore(tmp_path), **{**usual, **changed})

    return teach


class TestTeacherLogits:
    def test_without_augmentation_one_view_holds_the_plain_outputs_in_order(
        self, ask: Callable[..., Evidence], part: Part
    ) -> None:
        found = ask(augmentation=Augmentation())["logits"]
        assert found.shape == (1, 23, 4)
        assert found.dtype == np.float32
        assert np.array_equal(found[0], in_unit_range(part)[:, 0, 3:5, 2:4].flatten(1).numpy())

    def test_view_v_is_the_augmentation_of_step_v(self, ask: Callable[..., Evidence], part: Part) -> None:
        found = ask()["logits"]
        assert found.shape == (3, 23, 4)
        for view in range(3):
            seen = augment(in_unit_range(part), part.ids, seed=5, step=view, settings=CROPS, fill=FILL)
            assert np.array_equal(found[view], seen[:, 0, 3:5, 2:4].flatten(1).numpy())
        assert not np.array_equal(found[0], found[1])

    def test_outputs_do_not_depend_on_the_batch_size(self, ask: Callable[..., Evidence]) -> None:
        logits = ask(batch_size=10)["logits"]
        for size in (1, 23, 100):
            assert np.array_equal(ask(batch_size=size, data_fingerprint=f"data {size}")["logits"], logits)

    def test_the_teacher_runs_once(self, ask: Callable[..., Evidence]) -> None:
        teacher = Teacher()
        first = ask(logits_of=teacher)
        assert teacher.asked == 3 * 3
        assert ask(logits_of=teacher).fingerprint == first.fingerprint
        assert teacher.asked == 3 * 3

    def test_whatever_decides_the_content_decides_the_name(self, ask: Callable[..., Evidence], part: Part) -> None:
        changes: list[dict[str, Any]] = [
            {},
            {"teacher_fingerprint": "other"},
            {"data_fingerprint": "other"},
            {"part": Part(part.rows, part.ids.flip(0))},
            {"part": Part(part.rows, part.ids[1:])},
            {"views": 2},
            {"augmentation": Augmentation(crop=2, flip=True)},
            {"seed": 6},
            {"fill": FILL + 0.1},
            {"augmentation": Augmentation()},
        ]
        assert len({ask(**changed).fingerprint for changed in changes}) == len(changes)

    def test_plain_outputs_are_shared_by_all_seeds_and_numbers_of_views(self, ask: Callable[..., Evidence]) -> None:
        plain = Augmentation()
        assert len({ask(augmentation=plain, seed=s, views=s + 1).fingerprint for s in range(3)}) == 1

    def test_progress_reaches_all_rows_of_all_views(self, ask: Callable[..., Evidence]) -> None:
        seen: list[tuple[int, int]] = []
        ask(progress=lambda done, total: seen.append((done, total)))
        assert seen == sorted(seen)
        assert seen[-1] == (69, 69)
        assert len(seen) == 9

    @pytest.mark.parametrize("mixing", [{"mixup": 0.2}, {"cutmix": 1.0}])
    def test_mixing_is_refused_because_no_view_holds_it(
        self, ask: Callable[..., Evidence], mixing: dict[str, float]
    ) -> None:
        with pytest.raises(UserError, match="online"):
            ask(augmentation=Augmentation.model_validate(mixing))

    def test_a_part_without_rows_is_refused(self, ask: Callable[..., Evidence], part: Part) -> None:
        with pytest.raises(UserError, match="train part has no rows"):
            ask(part=Part(part.rows, part.ids[:0]))

    def test_outputs_that_are_not_finite_are_refused_and_not_kept(
        self, ask: Callable[..., Evidence], tmp_path: Path
    ) -> None:
        with pytest.raises(UserError, match="not finite"):
            ask(logits_of=lambda images: images.flatten(1) / 0)
        assert kept(tmp_path) == []


class TestStatistics:
    @pytest.mark.parametrize("rows", [1, 7, 2500])
    def test_statistics_equal_a_count_row_by_row(self, tmp_path: Path, rows: int) -> None:
        logits, labels = _logits(tmp_path, 2, rows, 4)
        found = statistics(EvidenceStore(tmp_path), logits, labels)
        expected = _slow_statistics(logits["logits"], labels.tolist())
        assert set(found) == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-6, atol=1e-6, err_msg=name)

    def test_category_tables_add_up(self, tmp_path: Path) -> None:
        logits, labels = _logits(tmp_path, 3, 200, 4)
        found = statistics(EvidenceStore(tmp_path), logits, labels)
        assert found["rows"].tolist() == [67, 67, 66, 0]
        np.testing.assert_allclose(found["confusion"].sum(1), found["rows"])
        np.testing.assert_allclose(found["mean_probability"][:3].sum(1), 1)
        assert math.isnan(found["accuracy"][3])

    def test_statistics_are_computed_once_for_the_same_labels(self, tmp_path: Path) -> None:
        logits, labels = _logits(tmp_path, 1, 9, 4)
        store = EvidenceStore(tmp_path)
        first = statistics(store, logits, labels)
        before = (first.folder / "meta.json").stat().st_mtime_ns
        assert statistics(store, logits, labels).fingerprint == first.fingerprint
        assert (first.folder / "meta.json").stat().st_mtime_ns == before
        assert statistics(store, logits, labels.flip(0)).fingerprint != first.fingerprint

    @pytest.mark.parametrize("labels", [[0, 1], [0, 1, 4], [0, 1, -1], [0, 1, 2, 3]])
    def test_labels_that_do_not_fit_the_teacher_are_refused(self, tmp_path: Path, labels: list[int]) -> None:
        logits, _ = _logits(tmp_path, 1, 3, 4)
        with pytest.raises(UserError, match=r"do not fit.*3 rows, 4 categories"):
            statistics(EvidenceStore(tmp_path), logits, torch.tensor(labels))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    yield from _mounted(tmp_path / "disk", ["-t", "tmpfs", "-o", "size=60k", "tmpfs"])


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    EvidenceStore(tmp_path / "writable").get(KEY, ramp)
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


def _logits(root: Path, views: int, rows: int, categories: int) -> tuple[Evidence, Tensor]:
    values = np.random.default_rng(rows).normal(0, 3, (views, rows, categories)).astype(np.float32)

    def make(create: Create) -> None:
        create("logits", values.shape, "<f4")[:] = values

    labels = torch.arange(rows) % (categories - 1)
    return EvidenceStore(root).get({"logits": list(values.shape)}, make), labels


def _slow_statistics(logits: np.ndarray, labels: list[int]) -> dict[str, np.ndarray]:
    views, rows, categories = logits.shape
    by_row = {name: np.zeros(rows) for name in ("true_probability", "margin", "entropy", "correct")}
    mass, confusion = np.zeros((categories, categories)), np.zeros((categories, categories))
    for row, truth in enumerate(labels):
        for view in range(views):
            weights = [math.exp(x - max(logits[view, row])) for x in logits[view, row].tolist()]
            chances = [weight / sum(weights) for weight in weights]
            guess = chances.index(max(chances))
            by_row["true_probability"][row] += chances[truth] / views
            by_row["margin"][row] += (chances[truth] - max(chances[:truth] + chances[truth + 1 :])) / views
            by_row["entropy"][row] -= sum(p * math.log(p) for p in chances) / views
            by_row["correct"][row] += (guess == truth) / views
            mass[truth] += np.array(chances) / views
            confusion[truth, guess] += 1 / views
    sizes = np.bincount(labels, minlength=categories)
    divisors = np.where(sizes > 0, sizes, np.nan)
    means = {"mean_probability": mass / divisors[:, None], "accuracy": confusion.diagonal() / divisors}
    return {**by_row, **means, "confusion": confusion, "rows": sizes}
