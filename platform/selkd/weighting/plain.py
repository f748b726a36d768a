"""Ratios that look at nothing: the controls of every comparison."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from selkd.data import draws
from selkd.weighting.base import Moment, Weighting, WeightingSettings, register


class FixedSettings(WeightingSettings):
    """Settings of `fixed`."""

    ratio: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="The teacher's share of every row; absent: what objective.gamma and objective.alpha say.",
        json_schema_extra={"search": [0.1, 0.9]},
    )

    @property
    def plain(self) -> bool:
        return self.ratio is None


@register
class Fixed(Weighting):
    """The same ratio for every row, from the first step to the last."""

    name: ClassVar[str] = "fixed"
    Settings = FixedSettings
    settings: FixedSettings

    def ratio(self, moment: Moment) -> Tensor:
        assert self.settings.ratio is not None, "a plain weighting is not asked"
        return torch.full_like(moment.student[:, 0], self.settings.ratio)


class AnnealedSettings(WeightingSettings):
    """Settings of `annealed`."""

    start: float = Field(
        default=1.0, ge=0, le=1, description="Ratio at the first step.", json_schema_extra={"search": [0.0, 1.0]}
    )
    end: float = Field(
        default=0.0, ge=0, le=1, description="Ratio at the last step.", json_schema_extra={"search": [0.0, 1.0]}
    )


@register
class Annealed(Weighting):
    """From the teacher to the labels in a straight line over training (Jafari et al. 2021, ANL-KD)."""

    name: ClassVar[str] = "annealed"
    Settings = AnnealedSettings
    settings: AnnealedSettings

    def ratio(self, moment: Moment) -> Tensor:
        start, end = self.settings.start, self.settings.end
        return torch.full_like(moment.student[:, 0], start + (end - start) * moment.progress)


@register
class Random(Weighting):
    """A new ratio for every row in every step, uniform between 0 and 1."""

    name: ClassVar[str] = "random"

    def ratio(self, moment: Moment) -> Tensor:
        return draws.uniform(self.seed, moment.step, moment.ids, "ratio").flatten().to(moment.student)
