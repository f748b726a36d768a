"""Folders of images: mapped or streamed, the same rows; what cannot be read is refused by name."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from selkd.data import Dataset, load, split
from selkd.errors import UserError

Tree = Callable[[Mapping[str, int]], Path]
ONE = {"cat": 4, "ant": 3}
TWO = {"train/cat": 4, "train/ant": 3, "test/cat": 2, "test/ant": 1}


def _load(path: Path, tmp_path: Path, **more: int) -> Dataset:
    return load(f"imagefolder:{path}", root=tmp_path / "root", **more)


def _pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1)


@pytest.mark.parametrize("budget", [2**30, 1], ids=["mapped", "streamed"])
def test_rows_are_the_files_by_category_and_name(tree: Tree, tmp_path: Path, budget: int) -> None:
    path = tree(ONE)
    data = _load(path, tmp_path, memory_budget=budget)
    files = [path / "ant" / f"{i}.png" for i in range(3)] + [path / "cat" / f"{i}.png" for i in range(4)]
    expected = np.stack([_pixels(file) for file in files])
    assert np.array_equal(data.train.pixels(torch.arange(7)).numpy(), expected)
    assert data.train.pixels(torch.tensor([5, 1])).numpy().tolist() == expected[[5, 1]].tolist()
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert (data.categories, data.train.shape, data.test) == (("ant", "cat"), (3, 6, 5), None)
    assert data.mean == pytest.approx((expected / 255).mean((0, 2, 3)), rel=1e-12)
    assert data.std == pytest.approx((expected / 255).std((0, 2, 3)), rel=1e-12)


def test_streamed_and_mapped_data_have_one_fingerprint(tree: Tree, tmp_path: Path) -> None:
    path = tree(TWO)
    assert _load(path, tmp_path).fingerprint == _load(path, tmp_path, memory_budget=1).fingerprint


@pytest.mark.parametrize("budget", [2**30, 1], ids=["mapped", "streamed"])
@pytest.mark.parametrize("test", ["test", "val"])
def test_test_or_val_folder_is_the_official_test_split(tree: Tree, tmp_path: Path, test: str, budget: int) -> None:
    path = tree({name.replace("test", test): count for name, count in TWO.items()})
    data = _load(path, tmp_path, memory_budget=budget)
    assert data.test is not None
    assert (len(data.train), len(data.test)) == (7, 3)
    assert np.array_equal(data.test.pixels(torch.tensor([0]))[0].numpy(), _pixels(path / test / "ant" / "0.png"))
    assert split(data, validation=0.3, seed=0).test.rows is data.test
    training = np.stack([_pixels(file) for file in sorted((path / "train").glob("*/*.png"))]) / 255
    assert data.mean == pytest.approx(training.mean((0, 2, 3)), rel=1e-12)


def test_a_category_may_be_called_train(tree: Tree, tmp_path: Path) -> None:
    assert _load(tree({"bus": 2, "train": 2}), tmp_path).categories == ("bus", "train")


def test_fingerprint_follows_content_not_place_or_time(tree: Tree, tmp_path: Path) -> None:
    path = tree(ONE)
    before = _load(path, tmp_path).fingerprint
    (path / "cat" / "2.png").touch()
    copy = shutil.copytree(path, tmp_path / "elsewhere")
    assert _load(path, tmp_path).fingerprint == _load(copy, tmp_path).fingerprint == before
    shutil.copy(path / "cat" / "1.png", path / "cat" / "2.png")
    assert _load(path, tmp_path).fingerprint != before


def test_changed_image_of_the_same_size_and_time_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "images"
    for category in "ab":
        (path / category).mkdir(parents=True)
        Image.new("L", (4, 4), 10).save(path / category / "0.bmp")
    file = path / "a" / "0.bmp"
    times = file.stat()
    assert int(_load(path, tmp_path).train.pixels(torch.tensor([0]))[0, 0, 0, 0]) == 10
    Image.new("L", (4, 4), 90).save(file)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert int(_load(path, tmp_path).train.pixels(torch.tensor([0]))[0, 0, 0, 0]) == 90


def test_grey_stays_grey_and_one_colour_image_makes_all_colour(tree: Tree, tmp_path: Path) -> None:
    path = tree({"a": 0, "b": 0})
    for category in "ab":
        Image.new("L", (4, 4), 77).save(path / category / "0.png")
    assert _load(path, tmp_path).train.shape == (1, 4, 4)
    Image.new("RGB", (4, 4), (1, 2, 3)).save(path / "b" / "1.png")
    data = _load(path, tmp_path)
    assert data.train.pixels(torch.tensor([0, 2]))[:, :, 0, 0].tolist() == [[77, 77, 77], [1, 2, 3]]


@pytest.mark.parametrize("mode", ["1", "LA", "P", "RGBA", "CMYK"])
def test_common_kinds_of_image_are_read(tree: Tree, tmp_path: Path, mode: str) -> None:
    path = tree({"a": 1})
    suffix = "tiff" if mode == "CMYK" else "png"
    Image.open(path / "a" / "0.png").convert(mode).save(path / "a" / f"1.{suffix}")
    assert _load(path, tmp_path).train.shape == (3, 6, 5)


@pytest.mark.parametrize("budget", [2**30, 1], ids=["mapped", "streamed"])
def test_differing_sizes_need_an_image_size(tree: Tree, tmp_path: Path, budget: int) -> None:
    path = tree({"a": 1, "b": 1})
    Image.new("RGB", (40, 20), (9, 9, 9)).save(path / "b" / "1.png")
    with pytest.raises(UserError, match=r"0.png has 6 x 5, .*b/1.png has 20 x 40 .*Set image_size"):
        _load(path, tmp_path, memory_budget=budget)
    data = _load(path, tmp_path, image_size=8, memory_budget=budget)
    assert data.train.shape == (3, 8, 8)
    assert bool((data.train.pixels(torch.tensor([2])) == 9).all())


def test_scaling_keeps_the_aspect_and_the_centre(tree: Tree, tmp_path: Path) -> None:
    path = tree({"a": 0})
    wide = np.full((8, 24), 200, np.uint8)
    wide[:, 8:16] = 50
    Image.fromarray(wide).save(path / "a" / "0.png")
    assert bool((_load(path, tmp_path, image_size=8).train.pixels(torch.tensor([0])) == 50).all())


def _spoil(file: Path) -> None:
    content = file.read_bytes()
    middle = len(content) // 2
    file.write_bytes(content[:middle] + bytes(8) + content[middle + 8 :])


@pytest.mark.parametrize("budget", [2**30, 1], ids=["mapped", "streamed"])
@pytest.mark.parametrize(
    "harm",
    [
        lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
        _spoil,
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"no image at all"),
    ],
    ids=["truncated", "corrupt", "empty", "other"],
)
def test_unreadable_image_is_refused_by_name(
    tree: Tree, tmp_path: Path, harm: Callable[[Path], None], budget: int
) -> None:
    path = tree(TWO)
    damaged = path / "train" / "cat" / "2.png"
    harm(damaged)
    with pytest.raises(UserError, match=f"{damaged}: cannot be read as an image"):
        _load(path, tmp_path, memory_budget=budget)


def test_image_of_more_than_eight_bits_is_refused_by_name(tree: Tree, tmp_path: Path) -> None:
    path = tree({"a": 1})
    Image.fromarray(np.full((6, 5), 4000, np.uint16)).save(path / "a" / "deep.png")
    with pytest.raises(UserError, match=r"deep.png: .*Convert it to 8 bits"):
        _load(path, tmp_path)


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        ({"a": 1, "b": 0}, "category 'b' has no images"),
        ({"train/a": 1, "train/b": 1, "test/a": 1}, "category 'b' has a folder in only one of"),
        ({"train/a": 1, "test/a": 1, "test/c": 1}, "category 'c' has a folder in only one of"),
        ({"train/a": 1, "test/a": 1, "val/a": 1}, "has the folders test and val"),
        ({}, "no such folder"),
    ],
)
def test_folders_that_make_no_data_set_are_refused(
    tree: Tree, tmp_path: Path, folders: Mapping[str, int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        _load(tree(folders), tmp_path)


def test_folder_without_folders_and_foreign_files_are_refused(tree: Tree, tmp_path: Path) -> None:
    path = tree({"a": 2})
    with pytest.raises(UserError, match="has no folders"):
        _load(path / "a", tmp_path)
    with pytest.raises(UserError, match=r"0.png cannot be read: Not a directory"):
        _load(path / "a" / "0.png", tmp_path)
    (path / "a" / ".hidden").write_text("ignored")
    assert len(_load(path, tmp_path).train) == 2
    (path / "a" / "notes.txt").write_text("not ignored")
    with pytest.raises(UserError, match=r"notes.txt is no image"):
        _load(path, tmp_path)


def test_dangling_link_is_refused_by_name(tree: Tree, tmp_path: Path) -> None:
    path = tree({"a": 1})
    (path / "a" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(UserError, match=r"gone.png cannot be read: No such file"):
        _load(path, tmp_path)
