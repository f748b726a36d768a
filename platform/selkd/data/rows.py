"""The kinds of rows: an array (in memory or mapped from a file), a tensor on a device, and files decoded on demand."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from selkd.data.dataset import Rows

CPU = torch.device("cpu")
DECODERS = min(8, os.cpu_count() or 1)
COPIED = 4096  # rows moved to a device at a time


class ArrayRows:
    """Rows of a NumPy array [N, C, H, W], most often mapped from a file that all processes share."""

    streamed = False

    def __init__(self, images: np.ndarray, labels: Tensor, device: torch.device = CPU) -> None:
        self.images = np.asarray(images)
        self.labels = labels
        self.device = device

    @property
    def shape(self) -> tuple[int, int, int]:
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def __len__(self) -> int:
        return len(self.images)

    def pixels(self, index: Tensor) -> Tensor:
        batch = torch.from_numpy(self.images[index.cpu().numpy()])
        return batch.to(self.device, non_blocking=True)

    def to(self, device: torch.device | str) -> Rows:
        """On the device itself when half of its free memory holds all rows, else batch by batch."""
        device = torch.device(device)
        if device.type == "cpu":
            return ArrayRows(self.images, self.labels)
        if self.images.nbytes <= free_memory(device) // 2:
            resident = torch.empty(self.images.shape, dtype=torch.uint8, device=device)
            for index in torch.arange(len(self)).split(COPIED):
                resident[index[0] : index[-1] + 1] = self.pixels(index)
            return ResidentRows(resident, self.labels)
        return ArrayRows(self.images, self.labels, device)


class ResidentRows:
    """Rows that live on a device."""

    streamed = False

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images = images
        self.labels = labels

    @property
    def shape(self) -> tuple[int, int, int]:
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def __len__(self) -> int:
        return len(self.images)

    def pixels(self, index: Tensor) -> Tensor:
        return self.images[index.to(self.images.device)]

    def to(self, device: torch.device | str) -> Rows:
        return ResidentRows(self.images.to(device), self.labels)


class StreamedRows:
    """Rows that are files, decoded batch by batch in a few threads."""

    streamed = True

    def __init__(
        self,
        files: Sequence[Path],
        labels: Tensor,
        shape: tuple[int, int, int],
        decode: Callable[[Path, tuple[int, int, int]], np.ndarray],
        device: torch.device = CPU,
    ) -> None:
        self.files = files
        self.labels = labels
        self.shape = shape
        self.decode = decode
        self.device = device

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(DECODERS, thread_name_prefix="decode")

    def __len__(self) -> int:
        return len(self.files)

    def pixels(self, index: Tensor) -> Tensor:
        batch = np.empty((len(index), *self.shape), np.uint8)
        files = [self.files[i] for i in index.tolist()]
        for position, image in enumerate(self._threads.map(lambda file: self.decode(file, self.shape), files)):
            batch[position] = image
        return torch.from_numpy(batch).to(self.device, non_blocking=True)

    def to(self, device: torch.device | str) -> Rows:
        return StreamedRows(self.files, self.labels, self.shape, self.decode, torch.device(device))


def free_memory(device: torch.device) -> int:
    """Bytes that the device could still hold."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


def at_once(device: torch.device | str) -> int:
    """How many rows a network is best shown without gradients: on a CPU, what its caches hold."""
    return 128 if torch.device(device).type == "cpu" else 1024
