"""The student's answers to a batch, every random draw keyed by the rows that are in the network."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.func import functional_call

from selkd.training.batches import Batch
from selkd.training.randomness import RowKeys

Parameters = Mapping[str, Tensor]


@dataclass(frozen=True)
class Forward:
    """A network in training, and the seed of what it draws."""

    model: nn.Module
    keys: RowKeys
    seed: int

    def __call__(self, batch: Batch) -> Tensor:
        """Logits [b, o]."""
        self._key(batch)
        return self.model(batch.images)

    def at(self, parameters: Parameters, batch: Batch) -> Tensor:
        """Logits [b, o] with other parameters; the network's buffers stay as they are."""
        self._key(batch)
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        return functional_call(self.model, {**parameters, **buffers}, (batch.images,))

    def parameters(self) -> dict[str, nn.Parameter]:
        """Those that train, by name."""
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def _key(self, batch: Batch) -> None:
        self.keys.seed, self.keys.step, self.keys.ids = self.seed, batch.step, batch.ids
