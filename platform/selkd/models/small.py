"""Small students: a plain convolutional network of any width, and a multilayer perceptron."""

from itertools import pairwise
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from selkd.models.registry import Interface, Settings, family

SMALLEST_SIDE = 4


class CnnSettings(Settings):
    """Settings of `cnn`."""

    width: int = Field(
        default=16, ge=1, le=4096, description="Channels of the first block; the later ones have twice as many."
    )
    depth: int = Field(default=3, ge=1, le=64, description="Blocks of convolution, normalisation and ReLU.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout before the head.")


class Cnn(nn.Module):
    """Blocks of 3 x 3 convolutions that halve the side while it stays at 4 or more, average pooling, linear head."""

    def __init__(self, settings: CnnSettings, interface: Interface) -> None:
        super().__init__()
        widths = [interface.channels, settings.width] + [2 * settings.width] * (settings.depth - 1)
        side = interface.image_size
        blocks = []
        for inputs, outputs in pairwise(widths):
            halves = side >= 2 * SMALLEST_SIDE
            side = side // 2 if halves else side
            blocks.append(_block(inputs, outputs, halves))
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(settings.dropout)
        self.head = nn.Linear(widths[-1], interface.outputs)
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.dropout(self.blocks(images).mean((2, 3))))


def _block(inputs: int, outputs: int, halves: bool) -> nn.Sequential:
    layers = [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, *([nn.MaxPool2d(2)] if halves else []))


class MlpSettings(Settings):
    """Settings of `mlp`."""

    hidden: tuple[Annotated[int, Field(ge=1, le=65536)], ...] = Field(
        default=(128,), description="Units of each hidden layer; none gives a linear classifier."
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout after each hidden layer.")


class Mlp(nn.Module):
    """Linear layers with ReLU over the flattened image."""

    def __init__(self, settings: MlpSettings, interface: Interface) -> None:
        super().__init__()
        widths = [interface.channels * interface.image_size**2, *settings.hidden]
        self.hidden = nn.Sequential(
            *(
                nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(settings.dropout))
                for inputs, outputs in pairwise(widths)
            )
        )
        self.head = nn.Linear(widths[-1], interface.outputs)
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.hidden(images.flatten(1)))


def _initialise(network: nn.Module) -> None:
    """Layers before a ReLU by He et al. 2015; the head keeps torch's default."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and name != "head":
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


@family(["cnn"], CnnSettings)
def cnn(name: str, interface: Interface, settings: CnnSettings) -> Cnn:
    return Cnn(settings, interface)


@family(["mlp"], MlpSettings)
def mlp(name: str, interface: Interface, settings: MlpSettings) -> Mlp:
    return Mlp(settings, interface)
