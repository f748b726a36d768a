"""Evidence: a teacher's outputs and what they say about rows and categories, computed once and exactly."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from selkd.data.augment import Augmentation, augment
from selkd.data.cache import ArrayCache, Arrays, Create
from selkd.data.dataset import Part
from selkd.data.evidence import statistics, teacher_logits
from selkd.data.progress import heard_by
from selkd.data.rows import ArrayRows
from selkd.errors import UserError

torch.set_num_threads(1)

FILL = torch.tensor([0.1, 0.2, 0.3])
CROPS = Augmentation(crop=2, flip=True, erase=0.5)


def kept(root: Path) -> list[str]:
    """What a failed attempt must not leave behind: everything except locks."""
    return sorted(file.name for file in root.rglob("*") if file.suffix != ".lock") if root.exists() else []


@dataclass
class Teacher:
    """Four logits that are four pixels, and a count of how often it was asked."""

    asked: int = 0

    def __call__(self, images: Tensor, ids: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        assert images.dtype == torch.float32
        assert len(ids) == len(images)
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
def ask(tmp_path: Path, part: Part) -> Callable[..., Arrays]:
    def teach(**changed: Any) -> Arrays:
        usual: dict[str, Any] = {
            "teacher_fingerprint": "teacher", "logits_of": Teacher(), "part": part, "data_fingerprint": "data",
            "part_name": "train", "views": 3, "augmentation": CROPS, "seed": 5, "fill": FILL, "device": "cpu",
            "batch_size": 10,
        }  # fmt: skip
        return teacher_logits(ArrayCache(tmp_path), **{**usual, **changed})

    return teach


class TestTeacherLogits:
    def test_without_augmentation_one_view_holds_the_plain_outputs_in_order(
        self, ask: Callable[..., Arrays], part: Part
    ) -> None:
        found = ask(augmentation=Augmentation())["logits"]
        assert found.shape == (1, 23, 4)
        assert found.dtype == np.float32
        assert np.array_equal(found[0], in_unit_range(part)[:, 0, 3:5, 2:4].flatten(1).numpy())

    def test_view_v_is_the_augmentation_of_step_v(self, ask: Callable[..., Arrays], part: Part) -> None:
        found = ask()["logits"]
        assert found.shape == (3, 23, 4)
        for view in range(3):
            seen = augment(in_unit_range(part), part.ids, seed=5, step=view, settings=CROPS, fill=FILL)
            assert np.array_equal(found[view], seen[:, 0, 3:5, 2:4].flatten(1).numpy())
        assert not np.array_equal(found[0], found[1])

    def test_outputs_do_not_depend_on_the_batch_size(self, ask: Callable[..., Arrays]) -> None:
        logits = ask(batch_size=10)["logits"]
        for size in (1, 23, 100):
            assert np.array_equal(ask(batch_size=size, data_fingerprint=f"data {size}")["logits"], logits)

    def test_the_teacher_runs_once(self, ask: Callable[..., Arrays]) -> None:
        teacher = Teacher()
        first = ask(logits_of=teacher)
        assert teacher.asked == 3 * 3
        assert ask(logits_of=teacher).fingerprint == first.fingerprint
        assert teacher.asked == 3 * 3

    def test_whatever_decides_the_content_decides_the_name(self, ask: Callable[..., Arrays], part: Part) -> None:
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

    def test_plain_outputs_are_shared_by_all_seeds_and_numbers_of_views(self, ask: Callable[..., Arrays]) -> None:
        plain = Augmentation()
        assert len({ask(augmentation=plain, seed=s, views=s + 1).fingerprint for s in range(3)}) == 1

    def test_progress_reaches_all_rows_of_all_views(self, ask: Callable[..., Arrays]) -> None:
        seen: list[tuple[str, int, int]] = []
        with heard_by(lambda *now: seen.append(now)):
            ask()
        assert seen == sorted(seen)
        assert seen[-1] == ("teacher, train", 69, 69)
        assert len(seen) == 9

    @pytest.mark.parametrize("mixing", [{"mixup": 0.2}, {"cutmix": 1.0}])
    def test_mixing_is_refused_because_no_view_holds_it(
        self, ask: Callable[..., Arrays], mixing: dict[str, float]
    ) -> None:
        with pytest.raises(UserError, match="online"):
            ask(augmentation=Augmentation.model_validate(mixing))

    def test_a_part_without_rows_is_refused(self, ask: Callable[..., Arrays], part: Part) -> None:
        with pytest.raises(UserError, match="train part has no rows"):
            ask(part=Part(part.rows, part.ids[:0]))

    def test_a_teacher_that_cannot_answer_every_row_leaves_nothing(
        self, ask: Callable[..., Arrays], tmp_path: Path
    ) -> None:
        teacher = Teacher()

        def logits_of(images: Tensor, ids: Tensor) -> Tensor:
            if teacher.asked == 4:
                raise UserError("teacher 'zoo' gives outputs that are not finite")
            return teacher(images, ids)

        with pytest.raises(UserError, match="teacher 'zoo'"):
            ask(logits_of=logits_of)
        assert kept(tmp_path) == []


class TestStatistics:
    @pytest.mark.parametrize("rows", [1, 7, 2500])
    def test_statistics_equal_a_count_row_by_row(self, tmp_path: Path, rows: int) -> None:
        logits, labels = _logits(tmp_path, 2, rows, 4)
        found = statistics(ArrayCache(tmp_path), logits, labels)
        expected = _slow_statistics(logits["logits"], labels.tolist())
        assert set(found) == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-6, atol=1e-6, err_msg=name)

    def test_category_tables_add_up(self, tmp_path: Path) -> None:
        logits, labels = _logits(tmp_path, 3, 200, 4)
        found = statistics(ArrayCache(tmp_path), logits, labels)
        assert found["rows"].tolist() == [67, 67, 66, 0]
        np.testing.assert_allclose(found["confusion"].sum(1), found["rows"])
        np.testing.assert_allclose(found["mean_probability"][:3].sum(1), 1)
        assert math.isnan(found["accuracy"][3])

    def test_statistics_are_computed_once_for_the_same_labels(self, tmp_path: Path) -> None:
        logits, labels = _logits(tmp_path, 1, 9, 4)
        cache = ArrayCache(tmp_path)
        first = statistics(cache, logits, labels)
        before = (first.folder / "meta.json").stat().st_mtime_ns
        assert statistics(cache, logits, labels).fingerprint == first.fingerprint
        assert (first.folder / "meta.json").stat().st_mtime_ns == before
        assert statistics(cache, logits, labels.flip(0)).fingerprint != first.fingerprint

    @pytest.mark.parametrize("labels", [[0, 1], [0, 1, 4], [0, 1, -1], [0, 1, 2, 3]])
    def test_labels_that_do_not_fit_the_teacher_are_refused(self, tmp_path: Path, labels: list[int]) -> None:
        logits, _ = _logits(tmp_path, 1, 3, 4)
        with pytest.raises(UserError, match=r"do not fit.*3 rows, 4 categories"):
            statistics(ArrayCache(tmp_path), logits, torch.tensor(labels))


def _logits(root: Path, views: int, rows: int, categories: int) -> tuple[Arrays, Tensor]:
    values = np.random.default_rng(rows).normal(0, 3, (views, rows, categories)).astype(np.float32)

    def make(create: Create) -> None:
        create("logits", values.shape, "<f4")[:] = values

    labels = torch.arange(rows) % (categories - 1)
    return ArrayCache(root).get({"logits": list(values.shape)}, make, what="logits"), labels


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
