"""Data sets from a user's arrays."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from selkd.data import from_arrays
from selkd.errors import UserError

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (8, 5, 5), np.uint8)
COLOUR = RANDOM.integers(0, 256, (8, 3, 4, 5), np.uint8)
LABELS = np.arange(8) % 2
AB = ("a", "b")


@pytest.mark.parametrize("images", [GREY, COLOUR, torch.from_numpy(COLOUR), COLOUR.astype(np.int64), COLOUR / 255])
def test_arrays_and_tensors_of_any_scale_become_the_same_levels(tmp_path: Path, images: Any) -> None:
    data = from_arrays((images, LABELS), categories=AB, root=tmp_path)
    expected = GREY[:, None] if images is GREY else COLOUR
    assert np.array_equal(data.train.pixels(torch.arange(8)).numpy(), expected)
    assert data.train.labels.tolist() == LABELS.tolist()
    assert data.test is None


def test_mean_and_deviation_are_those_of_the_training_pixels(tmp_path: Path) -> None:
    data = from_arrays((COLOUR, LABELS), (GREY[:, None].repeat(3, 1)[..., :4, :], LABELS), categories=AB, root=tmp_path)
    scaled = COLOUR / 255
    assert data.mean == pytest.approx(scaled.mean((0, 2, 3)), rel=1e-12)
    assert data.std == pytest.approx(scaled.std((0, 2, 3)), rel=1e-12)


def test_constant_channel_can_be_normalised(tmp_path: Path) -> None:
    data = from_arrays((np.full((2, 3, 3), 7, np.uint8), [0, 1]), categories=AB, root=tmp_path)
    assert data.std == (1.0,)


def test_fingerprint_changes_with_pixels_labels_names_and_test_rows_only(tmp_path: Path) -> None:
    def print_of(images: Any = GREY, labels: Any = LABELS, root: str = "x", **more: Any) -> str:
        return from_arrays((images, labels), root=tmp_path / root, **{"categories": AB, **more}).fingerprint

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
        from_arrays((images, labels), categories=AB, root=tmp_path)


def test_test_images_must_have_the_shape_of_train_images(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="test images have shape"):
        from_arrays((GREY, LABELS), (COLOUR, LABELS), categories=AB, root=tmp_path)


@pytest.mark.parametrize(
    ("names", "superclasses", "message"),
    [
        (("a", "a"), {}, "'a' is named twice"),
        (("cat", "dog"), {"pet": ("cat", "dig")}, "unknown member 'dig'. Did you mean 'dog'"),
    ],
)
def test_contradicting_names_are_refused(tmp_path: Path, names: Any, superclasses: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        from_arrays((GREY, LABELS), categories=names, superclasses=superclasses, root=tmp_path)
