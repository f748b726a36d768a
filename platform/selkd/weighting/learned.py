"""Weightings with a network that is fitted on outer rows: what they share, and the one with two inputs."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from selkd.selection import RowEvidence
from selkd.weighting.base import Moment, Weighting, WeightingSettings, register

MARGIN = 0.01


class LearnedSettings(WeightingSettings):
    """Settings of every learned weighting."""

    every: int = Field(
        default=1, ge=1, description="Steps from one update of the network to the next.",
        json_schema_extra={"search": [1, 50]},
    )  # fmt: skip
    outer_rows: int = Field(
        default=32, ge=1, description="Outer rows an update looks at, at most all there are.",
        json_schema_extra={"search": [16, 256]},
    )  # fmt: skip
    lr: float = Field(
        default=1e-3, gt=0, description="Learning rate of the network (Adam).",
        json_schema_extra={"search": [1e-4, 1e-1]},
    )  # fmt: skip
    weight_decay: float = Field(default=0.0, ge=0, description="L2 penalty of the network.")
    warmup: float = Field(
        default=0.0, ge=0, lt=1, description="Share of training in which every weight is 0.5 and nothing is learned."
    )
    bounded: bool = Field(
        default=False, description="Keep weights within 0.01 and 0.99, and the network's gradient within norm 1."
    )
    layers: int = Field(
        default=2, ge=1, le=5, description="Layers of the network.", json_schema_extra={"search": [2, 3]}
    )
    dim: int = Field(default=128, ge=1, description="Width of the network.", json_schema_extra={"search": [16, 256]})

    @property
    def needs_outer(self) -> bool:
        return True


class Learned(Weighting):
    """A network from what is known of a row to its weights, each in (0, 1)."""

    settings: LearnedSettings

    def __init__(
        self, settings: LearnedSettings, evidence: RowEvidence, seed: int, build: Callable[[], nn.Module]
    ) -> None:
        super().__init__(settings, evidence, seed)
        self.network = seeded(seed, build)

    @property
    def bounds(self) -> tuple[float, float]:
        return (MARGIN, 1 - MARGIN) if self.settings.bounded else (0.0, 1.0)

    def features(self, moment: Moment) -> Tensor:
        """What the network reads [b, inputs]."""
        raise NotImplementedError

    def answers(self, moment: Moment) -> Tensor:
        """The network's weights [b, answers], each in (0, 1)."""
        if moment.progress < self.settings.warmup:
            return torch.full_like(moment.student[:, :1], 0.5)
        found = self.network(self.features(moment)).sigmoid()
        return MARGIN + (1 - 2 * MARGIN) * found if self.settings.bounded else found


def mlp(inputs: int, dims: list[int], outputs: int) -> nn.Sequential:
    """Linear layers with leaky rectifiers between; the last bias is zero, so that answers begin near one half."""
    sizes = [inputs, *dims]
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.LeakyReLU()]
    last = nn.Linear(sizes[-1], outputs)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, last)


def seeded(seed: int, build: Callable[[], nn.Module]) -> nn.Module:
    """A network that is a function of the seed, and leaves the global generator alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


class BiKDSettings(LearnedSettings):
    """Settings of `bikd`."""

    weight_decay: float = Field(default=1e-4, ge=0, description="L2 penalty of the network.")
    dim: int = Field(default=64, ge=1, description="Width of the network.", json_schema_extra={"search": [16, 256]})


@register
class BiKD(Learned):
    """A weight for each term, which need not sum to one, from the cross-entropies of student and teacher.

    BiKD (arXiv 2605.17839): two inputs, two answers, fitted on outer rows.
    """

    name: ClassVar[str] = "bikd"
    Settings = BiKDSettings

    def __init__(self, settings: LearnedSettings, evidence: RowEvidence, seed: int) -> None:
        super().__init__(settings, evidence, seed, lambda: mlp(2, [settings.dim] * (settings.layers - 1), 2))

    def features(self, moment: Moment) -> Tensor:
        return torch.stack([moment.student_loss, moment.teacher_loss], 1)

    def weights(self, moment: Moment) -> Mapping[str, Tensor]:
        found = self.answers(moment)
        return {"truth": found[:, 0], "teacher": found[:, -1]}
