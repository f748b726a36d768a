"""A network together with the normalisation of its inputs."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn


class Classifier(nn.Module):
    """Logits of images in [0, 1], which are normalised by channel before the network sees them."""

    mean: Tensor  # [1, C, 1, 1]
    std: Tensor  # [1, C, 1, 1]

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        assert len(mean) == len(std) and all(s > 0 for s in std), (mean, std)
        self.network = network
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.network((images - self.mean) / self.std)

    def placed(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> Self:
        """On a device, in a precision, and in the layout in which convolutions are fastest."""
        return self.to(device, dtype).to(memory_format=torch.channels_last)
