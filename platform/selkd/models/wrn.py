"""Wide residual networks (Zagoruyko and Komodakis 2016): wrn_DEPTH_WIDENING, normalised before each convolution.

Parameters carry the names of the published checkpoints (RepDistiller, Tian et al. 2020), so that those can be imported.
"""

from collections import OrderedDict

from pydantic import Field
from torch import Tensor, nn

from selkd.models.registry import Interface, Settings, family
from selkd.models.resnet import conv3x3, initialise

DEPTHS_AND_WIDENINGS = {f"wrn_{depth}_{widen}": (depth, widen) for depth in (16, 40) for widen in (1, 2)}


class WideSettings(Settings):
    """Settings of the wide residual networks."""

    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout between the two convolutions of a block.")


class Block(nn.Module):
    """Two normalised 3 x 3 convolutions; where the shape changes, the shortcut starts from the normalised input."""

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = conv3x3(inputs, outputs, stride)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = conv3x3(outputs, outputs)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.convShortcut = None
        if inputs != outputs:
            self.convShortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        normal = self.relu(self.bn1(x))
        shortcut = x if self.convShortcut is None else self.convShortcut(normal)
        inner = self.relu(self.bn2(self.conv1(normal)))
        return shortcut + self.conv2(self.dropout(inner))


class WideResNet(nn.Module):
    """A stem, three blocks of layers that halve the side twice, global average pooling and a linear head."""

    def __init__(self, depth: int, widen: int, dropout: float, channels: int, outputs: int) -> None:
        super().__init__()
        layers = (depth - 4) // 6
        widths = (16, 16 * widen, 32 * widen, 64 * widen)
        self.conv1 = conv3x3(channels, widths[0])
        self.block1 = _layers(layers, widths[0], widths[1], 1, dropout)
        self.block2 = _layers(layers, widths[1], widths[2], 2, dropout)
        self.block3 = _layers(layers, widths[2], widths[3], 2, dropout)
        self.bn1 = nn.BatchNorm2d(widths[3])
        self.relu = nn.ReLU()
        self.fc = nn.Linear(widths[3], outputs)
        initialise(self)
        nn.init.zeros_(self.fc.bias)

    def forward(self, images: Tensor) -> Tensor:
        x = self.block3(self.block2(self.block1(self.conv1(images))))
        return self.fc(self.relu(self.bn1(x)).mean((2, 3)))


def _layers(count: int, inputs: int, outputs: int, stride: int, dropout: float) -> nn.Sequential:
    first = Block(inputs, outputs, stride, dropout)
    rest = (Block(outputs, outputs, 1, dropout) for _ in range(count - 1))
    return nn.Sequential(OrderedDict(layer=nn.Sequential(first, *rest)))


@family(DEPTHS_AND_WIDENINGS, WideSettings)
def wrn(name: str, interface: Interface, settings: WideSettings) -> WideResNet:
    depth, widen = DEPTHS_AND_WIDENINGS[name]
    return WideResNet(depth, widen, settings.dropout, interface.channels, interface.outputs)
