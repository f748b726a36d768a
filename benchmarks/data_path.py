"""Our data path against a torchvision DataLoader with two workers: same rows, same augmentations, batches of 128.

Ours: mapped uint8 rows -> gather -> float -> crop, flip, normalise, batched, in one process with one thread. The peer
crops, flips and normalises image by image in two worker processes, from PIL images (the usual recipe) and from tensors.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from selkd.data import Part, draws
from selkd.data.augment import Augmentation, augment
from selkd.data.rows import ArrayRows

MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
BATCH = 128
GOAL = 3.0


class Images(Dataset[Tensor]):
    """Rows of an array, transformed one by one."""

    def __init__(self, pixels: np.ndarray, read: Callable[[np.ndarray], object], to_float: Callable) -> None:
        self.pixels, self.read = pixels, read
        self.transform: Callable[[object], Tensor] = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                to_float,
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, row: int) -> Tensor:
        return self.transform(self.read(self.pixels[row]))


def ours(part: Part, epoch: int) -> Iterator[Tensor]:
    """Normalised batches of one epoch in a random order."""
    mean, std = torch.tensor(MEAN), torch.tensor(STD)
    settings = Augmentation(crop=4, flip=True)
    for step, rows in enumerate(draws.permutation(0, epoch, len(part), "order").split(BATCH)):
        images = part.pixels(rows).float() / 255
        images = augment(images, part.ids[rows], seed=epoch, step=step, settings=settings, fill=mean)
        yield images.sub_(mean.view(-1, 1, 1)).div_(std.view(-1, 1, 1))


def loader(dataset: Images) -> DataLoader[Tensor]:
    return DataLoader(dataset, batch_size=BATCH, shuffle=True, num_workers=2, persistent_workers=True)


def seconds(batches: Iterator[Tensor], rows: int) -> float:
    """Time to receive every row of an epoch."""
    start = time.perf_counter()
    received = sum(len(batch) for batch in batches)
    assert received == rows, f"{received} of {rows} rows came"
    return time.perf_counter() - start


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=5, help="measured epochs of each, interleaved")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pixels.npy"
        shape = (options.rows, 3, 32, 32)
        np.save(file, np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
        pixels = np.load(file, mmap_mode="r")
        part = Part(ArrayRows(pixels, torch.zeros(options.rows, dtype=torch.int64)), torch.arange(options.rows))
        interleaved = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
        from_pil = loader(Images(interleaved, Image.fromarray, transforms.ToTensor()))
        from_tensors = loader(Images(np.array(pixels), torch.from_numpy, transforms.ConvertImageDtype(torch.float32)))
        paths: dict[str, Callable[[int], Iterator[Tensor]]] = {
            "selkd, one thread": lambda epoch: ours(part, epoch),
            "DataLoader, 2 workers, PIL": lambda _: iter(from_pil),
            "DataLoader, 2 workers, tensors": lambda _: iter(from_tensors),
        }
        times: dict[str, list[float]] = {name: [] for name in paths}
        for epoch in range(options.epochs + 1):
            for name, batches in paths.items():
                taken = seconds(batches(epoch), options.rows)
                if epoch:
                    times[name].append(taken)
    rates = {name: options.rows / statistics.median(taken) for name, taken in times.items()}
    mine, *peers = rates.values()
    for name, rate in rates.items():
        print(f"{name:32} {rate:10,.0f} rows/s")
    print(f"data path: {mine / max(peers):.1f} times the faster DataLoader (goal: at least {GOAL:g})")


if __name__ == "__main__":
    main()
