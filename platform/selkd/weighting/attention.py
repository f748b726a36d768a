"""A ratio network that attends: the vectors of a row look at each other, where a perceptron mixes all their numbers.

The paper of TGeo-KD compares heads and says nothing of the form: that is ours. Every vector enters by a linear map of
its own, so the network knows them apart; rows never see each other.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """From the vectors of a row, side by side [b, vectors x numbers], to one answer [b, 1]."""

    def __init__(self, vectors: int, numbers: int, *, dim: int, heads: int, layers: int) -> None:
        super().__init__()
        self.shape = (vectors, numbers)
        self.enter = nn.ModuleList(nn.Linear(numbers, dim) for _ in range(vectors))
        self.layers = nn.Sequential(*(Attending(dim, heads) for _ in range(layers)))
        self.leave = nn.Linear(dim, 1)
        nn.init.zeros_(self.leave.bias)

    def forward(self, features: Tensor) -> Tensor:
        vectors = features.unflatten(1, self.shape).unbind(1)
        entered = torch.stack([enter(vector) for enter, vector in zip(self.enter, vectors, strict=True)], 1)
        return self.leave(self.layers(entered).mean(1))


class Attending(nn.Module):
    """What each vector [b, vectors, dim] makes of all, added to itself.

    Written out, since torch's fused attention may differ from run to run on a GPU. A head is `dim // heads` wide, so
    that any number of heads will do.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.parts = (3, heads, dim // heads)
        self.ask = nn.Linear(dim, 3 * heads * (dim // heads))
        self.join = nn.Linear(heads * (dim // heads), dim)

    def forward(self, vectors: Tensor) -> Tensor:
        queries, keys, values = self.ask(vectors).unflatten(2, self.parts).transpose(1, 3).unbind(2)
        weights = (queries @ keys.mT / self.parts[2] ** 0.5).softmax(3)
        found = (weights @ values).transpose(1, 2).flatten(2)
        return F.leaky_relu(vectors + self.join(found))
