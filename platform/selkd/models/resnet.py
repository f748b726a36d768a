"""Residual networks for 32 x 32 images (He et al. 2016, section 4.2), in the form the distillation literature uses.

Shortcuts that change shape are 1 x 1 convolutions. Parameters carry the names of the published checkpoints
(RepDistiller, Tian et al. 2020), so that those can be imported.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from selkd.models.registry import Interface, Settings, family

NARROW = (16, 16, 32, 64)
WIDE = (32, 64, 128, 256)
DEPTHS_AND_WIDTHS = {f"resnet{depth}": (depth, NARROW) for depth in (8, 14, 20, 32, 44, 56, 110)} | {
    "resnet8x4": (8, WIDE),
    "resnet32x4": (32, WIDE),
}


def conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)


def initialise(network: nn.Module) -> None:
    """Convolutions by He et al. 2015, fan-out; normalisations start as the identity."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


class Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut; the ReLU follows the sum."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(inputs, outputs, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = conv3x3(outputs, outputs)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(inner + shortcut)


class ResNet(nn.Module):
    """A stem, three stages that halve the side twice, global average pooling and a linear head."""

    def __init__(self, depth: int, widths: Sequence[int], channels: int, outputs: int) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        self.conv1 = conv3x3(channels, widths[0])
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU()
        self.layer1 = _stage(blocks, widths[0], widths[1], stride=1)
        self.layer2 = _stage(blocks, widths[1], widths[2], stride=2)
        self.layer3 = _stage(blocks, widths[2], widths[3], stride=2)
        self.fc = nn.Linear(widths[3], outputs)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(images)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


def _stage(blocks: int, inputs: int, outputs: int, stride: int) -> nn.Sequential:
    first = Block(inputs, outputs, stride)
    return nn.Sequential(first, *(Block(outputs, outputs, 1) for _ in range(blocks - 1)))


@family(DEPTHS_AND_WIDTHS)
def resnet(name: str, interface: Interface, settings: Settings) -> ResNet:
    depth, widths = DEPTHS_AND_WIDTHS[name]
    return ResNet(depth, widths, interface.channels, interface.outputs)
