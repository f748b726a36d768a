"""Data sets from a user's arrays."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import selkd
from selkd.data import Dataset, from_arrays, load
from selkd.errors import UserError

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (8, 5, 5), np.uint8)
COLOUR = RANDOM.integers(0, 256, (8, 3, 4, 5), np.uint8)
LABELS = np.arange(8) % 2
AB = ("a", "b")


@pytest.mark.parametrize("images", [GREY, COLOUR, torch.from_numpy(COLOUR), COLOUR.astype(np.int64), COLOUR / 255])
def test_arrays_and_tensors_of_any_scale_become_the_same_levels(tmp_path: Path, images: Any) -> None:
    data = from_arrays((images, LABELS), categories=AB, root=tmp_path, name="mine")
    expected = GREY[:, None] if images is GREY else COLOUR
    assert np.array_equal(data.train.pixels(torch.arange(8)).numpy(), expected)
    assert data.train.labels.tolist() == LABELS.tolist()
    assert data.test is None


def test_mean_and_deviation_are_those_of_the_training_pixels(tmp_path: Path) -> None:
    data = from_arrays(
        (COLOUR, LABELS), (GREY[:, None].repeat(3, 1)[..., :4, :], LABELS), categories=AB, root=tmp_path, name="mine"
    )
    scaled = COLOUR / 255
    assert data.mean == pytest.approx(scaled.mean((0, 2, 3)), rel=1e-12)
    assert data.std == pytest.approx(scaled.std((0, 2, 3)), rel=1e-12)


def test_constant_channel_can_be_normalised(tmp_path: Path) -> None:
    data = from_arrays((np.full((2, 3, 3), 7, np.uint8), [0, 1]), categories=AB, root=tmp_path, name="mine")
    assert data.std == (1.0,)


def test_fingerprint_changes_with_pixels_labels_names_and_test_rows_only(tmp_path: Path) -> None:
    names: list[str] = []

    def print_of(images: Any = GREY, labels: Any = LABELS, root: str = "x", **more: Any) -> str:
        names.append(f"name-{len(names)}")
        return from_arrays(
            (images, labels), root=tmp_path / root, name=names[-1], **{"categories": AB, **more}
        ).fingerprint

    changed = GREY.copy()
    changed[3, 2, 1] ^= 1
    others = [
        print_of(changed),
        print_of(labels=1 - LABELS),
        print_of(categories=("a", "c")),
        print_of(test=(GREY, LABELS)),
        print_of(GREY.reshape(8, 1, 25, 1)),
    ]
    assert print_of() == print_of(torch.from_numpy(GREY), LABELS.astype(np.int32), root="y")
    assert len({print_of(), *others}) == 6


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.full((8, 5, 5), np.nan), LABELS, "row 0 has a pixel that is not finite"),
        (
            np.where(np.arange(8)[:, None, None] == 5, np.inf, GREY / 255),
            LABELS,
            "row 5 has a pixel that is not finite",
        ),
        (GREY.astype(float), LABELS, "outside 0 ... 1, the range of float64"),
        (-(GREY / 255), LABELS, "outside 0 ... 1"),
        (GREY.astype(int) * 2, LABELS, "outside 0 ... 255"),
        (GREY.astype(str), LABELS, "no kind of pixel"),
        (GREY[0], LABELS, r"shape \(5, 5\)"),
        (COLOUR.transpose(0, 2, 3, 1), LABELS, "channels before height and width"),
        (GREY[:0], LABELS[:0], "there are none"),
        (GREY, LABELS[:7], "one integer for each of 8 images"),
        (GREY, LABELS / 2, "float64"),
        (GREY, LABELS + 1, "2 is not in 0 ... 1"),
        (GREY, LABELS - 1, "-1 is not in 0 ... 1"),
    ],
)
def test_bad_pixels_and_labels_are_refused(tmp_path: Path, images: Any, labels: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        from_arrays((images, labels), categories=AB, root=tmp_path, name="mine")


def test_test_images_must_have_the_shape_of_train_images(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="test images have shape"):
        from_arrays((GREY, LABELS), (COLOUR, LABELS), categories=AB, root=tmp_path, name="mine")


@pytest.mark.parametrize(
    ("names", "superclasses", "message"),
    [
        (("a", "a"), {}, "'a' is named twice"),
        (("cat", "dog"), {"pet": ("cat", "dig")}, "unknown member 'dig'. Did you mean 'dog'"),
    ],
)
def test_contradicting_names_are_refused(tmp_path: Path, names: Any, superclasses: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        from_arrays((GREY, LABELS), categories=names, superclasses=superclasses, root=tmp_path, name="mine")


def _same(one: Dataset, other: Dataset) -> bool:
    def content(data: Dataset) -> list[Any]:
        rows = [own for own in (data.train, data.test) if own is not None]
        pixels = [[own.pixels(torch.arange(len(own))).tolist(), own.labels.tolist()] for own in rows]
        return [pixels, data.name, data.categories, data.superclasses, data.mean, data.std, data.fingerprint]

    return content(one) == content(other)


def test_a_name_brings_the_same_data_back(tmp_path: Path) -> None:
    superclasses = {"first": ("b", "a")}
    kept = from_arrays(
        (COLOUR, LABELS), (COLOUR[:3], LABELS[:3]), categories=AB, superclasses=superclasses, root=tmp_path, name="mine"
    )
    assert _same(load("arrays:mine", root=tmp_path), kept)
    assert kept.superclasses == superclasses
    assert load("arrays:mine", root=tmp_path, image_size=8).train.shape == (3, 8, 8)


def test_a_name_can_be_given_again_for_the_same_content_only(tmp_path: Path) -> None:
    kept = from_arrays((GREY, LABELS), categories=AB, root=tmp_path, name="mine")
    assert _same(from_arrays((GREY, LABELS), categories=AB, root=tmp_path, name="mine"), kept)
    with pytest.raises(UserError, match=r"'mine' are kept with other content.*remove .*mine\.json"):
        from_arrays((GREY, 1 - LABELS), categories=AB, root=tmp_path, name="mine")
    assert _same(load("arrays:mine", root=tmp_path), kept)


def test_a_missing_name_is_answered_with_the_nearest(tmp_path: Path) -> None:
    from_arrays((GREY, LABELS), categories=AB, root=tmp_path, name="mine")
    with pytest.raises(UserError, match=r"no arrays 'mnie' in .*Did you mean 'mine'"):
        load("arrays:mnie", root=tmp_path)
    with pytest.raises(UserError, match=r"no arrays 'x' in .*Valid: none"):
        load("arrays:x", root=tmp_path / "other")
    with pytest.raises(UserError, match=r"'arrays' is unknown. Did you mean 'arrays:NAME'"):
        load("arrays", root=tmp_path)


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "ä", "a" * 101])
def test_names_that_make_no_file_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"is refused. Use letters"):
        from_arrays((GREY, LABELS), categories=AB, root=tmp_path, name=name)


def test_lost_images_and_broken_entries_are_named(tmp_path: Path) -> None:
    from_arrays((GREY, LABELS), categories=AB, root=tmp_path, name="mine")
    shutil.rmtree(tmp_path / "mapped")
    with pytest.raises(UserError, match=r"mine\.json is there, the images are not. Call selkd.from_arrays again"):
        load("arrays:mine", root=tmp_path)
    from_arrays((GREY, LABELS), categories=AB, root=tmp_path, name="mine")
    (tmp_path / "arrays" / "mine.json").write_text('{"categories": 3}')
    with pytest.raises(UserError, match=r"mine\.json is not what selkd.from_arrays writes"):
        load("arrays:mine", root=tmp_path)


def test_categories_that_are_no_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="are not all strings"):
        from_arrays((GREY, LABELS), categories=(1, 2), root=tmp_path, name="mine")  # pyright: ignore[reportArgumentType]


def test_without_a_root_arrays_are_kept_in_the_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELKD_WORKSPACE", str(tmp_path))
    kept = selkd.from_arrays((GREY, LABELS), categories=AB, name="mine")
    assert _same(load("arrays:mine", root=tmp_path / "data"), kept)
