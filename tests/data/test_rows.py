"""Rows: all kinds give the same pixels, and devices get what fits."""

from pathlib import Path

import numpy as np
import pytest
import torch

from selkd.data import rows as kinds
from selkd.data.rows import ArrayRows, ResidentRows, StreamedRows

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 3, 4, 5), np.uint8)
LABELS = torch.arange(20) % 3
INDEX = torch.tensor([7, 0, 7, 19])


def _decode(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    return IMAGES[int(path.name)].reshape(shape)


KINDS = {
    "array": lambda: ArrayRows(IMAGES, LABELS),
    "resident": lambda: ResidentRows(torch.from_numpy(IMAGES), LABELS),
    "streamed": lambda: StreamedRows([Path(str(i)) for i in range(20)], LABELS, (3, 4, 5), _decode),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_rows_asked_for_in_order(kind: str) -> None:
    rows = KINDS[kind]()
    assert (len(rows), rows.shape) == (20, (3, 4, 5))
    for same in (rows, rows.to("cpu")):
        pixels = same.pixels(INDEX)
        assert pixels.dtype == torch.uint8
        assert torch.equal(pixels, torch.from_numpy(IMAGES[INDEX.numpy()]))
        assert torch.equal(same.labels, LABELS)
        assert same.pixels(INDEX[:0]).shape == (0, 3, 4, 5)


@pytest.mark.parametrize(("free", "kind"), [(2 * IMAGES.nbytes, ResidentRows), (2 * IMAGES.nbytes - 2, ArrayRows)])
def test_rows_move_to_a_device_when_half_of_its_free_memory_holds_them(
    monkeypatch: pytest.MonkeyPatch, free: int, kind: type
) -> None:
    monkeypatch.setattr(kinds, "free_memory", lambda _: free)
    moved = ArrayRows(IMAGES, LABELS).to("meta")
    assert type(moved) is kind
    assert moved.pixels(torch.tensor([1, 2])).device.type == "meta"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("kind", KINDS)
def test_pixels_on_a_gpu_equal_those_on_the_cpu(kind: str) -> None:
    rows = KINDS[kind]().to("cuda")
    pixels = rows.pixels(INDEX)
    assert pixels.device.type == "cuda"
    assert rows.labels.device.type == "cpu"
    assert torch.equal(pixels.cpu(), torch.from_numpy(IMAGES[INDEX.numpy()]))
