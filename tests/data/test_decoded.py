"""The store of decoded images: mapped, read-only, checked, made once."""

from pathlib import Path

import numpy as np
import pytest
import torch

from selkd.data import Dataset, Rows, decoded
from selkd.data.progress import heard_by
from selkd.data.rows import ArrayRows

IMAGES = np.random.default_rng(0).integers(0, 256, (9, 1, 6, 6), np.uint8)
LABELS = torch.arange(9) % 2


class Reader:
    """Counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> dict[str, Rows]:
        self.asked += 1
        return {"train": ArrayRows(IMAGES, LABELS)}


def _keep(root: Path, read: Reader) -> Dataset:
    return decoded.keep(root, {"content": "generated"}, read, name="generated", categories=("a", "b"))


def test_images_are_read_once_and_mapped_from_a_file_afterwards(tmp_path: Path) -> None:
    read = Reader()
    for _ in range(2):
        data = _keep(tmp_path, read)
        assert isinstance(data.train, ArrayRows)
        assert isinstance(data.train.images.base, np.memmap)
        assert np.array_equal(data.train.images, IMAGES)
        assert torch.equal(data.train.labels, LABELS)
    assert read.asked == 1


def test_a_batch_can_be_changed_and_the_stored_images_cannot(tmp_path: Path) -> None:
    data = _keep(tmp_path, Reader())
    data.train.pixels(torch.tensor([3])).zero_()
    assert np.array_equal(data.train.pixels(torch.tensor([3]))[0].numpy(), IMAGES[3])
    assert isinstance(data.train, ArrayRows)
    assert not data.train.images.flags.writeable


def test_damaged_array_is_made_again_with_a_warning(tmp_path: Path) -> None:
    read = Reader()
    _keep(tmp_path, read)
    (file,) = tmp_path.glob("mapped/*/train_images.npy")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.warns(UserWarning, match="train_images.npy is corrupt.*: the images of generated are made again"):
        data = _keep(tmp_path, read)
    assert np.array_equal(data.train.pixels(torch.arange(9)).numpy(), IMAGES)
    assert read.asked == 2


def test_pieces_of_large_data_join_to_the_whole_and_progress_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _keep(tmp_path / "whole", Reader())
    monkeypatch.setattr(decoded, "CHUNK", 2 * 36)
    told: list[tuple[str, int, int]] = []
    with heard_by(lambda *now: told.append(now)):
        pieces = _keep(tmp_path / "pieces", Reader())
    assert told == [("generated, train", done, 9) for done in (2, 4, 6, 8, 9)]
    assert torch.equal(whole.train.pixels(torch.arange(9)), pieces.train.pixels(torch.arange(9)))
    assert (whole.mean, whole.std) == (pieces.mean, pieces.std)
