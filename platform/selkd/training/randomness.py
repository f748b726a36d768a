"""Dropout whose masks depend on (seed, step, row, layer) alone, so that any number of workers draws the same."""

import sys
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from selkd.data import draws
from selkd.errors import UserError

REFUSED = (nn.RReLU, nn.FractionalMaxPool2d, nn.FractionalMaxPool3d, nn.FeatureAlphaDropout, nn.AlphaDropout)


@dataclass
class RowKeys:
    """The rows that are in the network right now; the loop sets them before each forward pass."""

    seed: int = 0
    step: int = 0
    ids: Tensor | None = None


class RowDropout(nn.Module):
    """Dropout, channel dropout or stochastic depth, drawn row by row."""

    def __init__(self, keys: RowKeys, layer: str, p: float, axes: int | None) -> None:
        super().__init__()
        self.keys, self.layer, self.p, self.axes = keys, layer, p, axes

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return input
        assert self.keys.ids is not None, "the loop sets the rows before each forward pass"
        shape = input.shape if self.axes is None else (*input.shape[: self.axes], *[1] * (input.dim() - self.axes))
        count = max(int(torch.tensor(shape[1:]).prod()), 1)
        draw = draws.uniform(self.keys.seed, self.keys.step, self.keys.ids, f"dropout/{self.layer}", count)
        return input * (draw >= self.p).to(input.dtype).view(shape) / (1 - self.p)


def key_randomness(model: nn.Module, keys: RowKeys, prefix: str = "") -> nn.Module:
    """Replace the random layers of `model` by row-keyed ones; refuse those that cannot be."""
    for name, child in model.named_children():
        layer = f"{prefix}{name}"
        if isinstance(child, nn.Dropout):
            setattr(model, name, RowDropout(keys, layer, child.p, None))
        elif isinstance(child, nn.Dropout1d | nn.Dropout2d | nn.Dropout3d):
            setattr(model, name, RowDropout(keys, layer, child.p, 2))
        elif _is_stochastic_depth(child):
            setattr(model, name, RowDropout(keys, layer, cast(float, child.p), 1))
        elif isinstance(child, REFUSED) or (isinstance(child, nn.MultiheadAttention) and child.dropout > 0):
            raise UserError(f"student.model: layer {layer} ({type(child).__name__}) draws numbers we cannot reproduce.")
        else:
            key_randomness(child, keys, f"{layer}.")
    return model


def _is_stochastic_depth(module: nn.Module) -> bool:
    """torchvision's layer; it takes a second to import, and who has such a layer has imported it."""
    ops = sys.modules.get("torchvision.ops")
    return ops is not None and isinstance(module, ops.StochasticDepth)
