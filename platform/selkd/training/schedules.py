"""Learning-rate schedules as pure functions of the step: nothing to save, nothing to restore."""

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Schedule(BaseModel):
    """How the learning rate changes over training."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: Literal["constant", "step", "cosine", "one-cycle"] = Field(
        default="cosine",
        description="`step` multiplies by `factor` at each milestone; `one-cycle` rises for 30 % and falls.",
    )
    warmup: float = Field(default=0.0, ge=0, lt=1, description="Share of training over which the rate rises from zero.")
    milestones: tuple[float, ...] = Field(
        default=(0.625, 0.75, 0.875),
        description="Shares of training at which `step` drops (default: 150, 180, 210 of 240).",
    )
    factor: float = Field(default=0.1, gt=0, le=1, description="What `step` multiplies the rate by.")

    def rate(self, step: int, total: int) -> float:
        """Multiplier of the base learning rate at `step` of `total`."""
        ramp = self.warmup * total
        if step < ramp:
            return (step + 1) / (math.ceil(ramp) + 1)
        match self.name:
            case "constant":
                return 1.0
            case "step":
                return self.factor ** sum(step >= round(m * total) for m in self.milestones)
            case "cosine":
                return (1 + math.cos(math.pi * (step - ramp) / (total - ramp))) / 2
            case "one-cycle":
                return _one_cycle(step, total)


def _one_cycle(step: int, total: int, rise: float = 0.3, start: float = 1 / 25, end: float = 1 / 25e4) -> float:
    """Smith and Topin's policy with torch's defaults: cosine up to the base rate, cosine down to almost nothing."""
    peak = max(rise * total - 1, 1e-9)
    last = max(total - 1, peak + 1e-9)
    if step <= peak:
        low, high, share = start, 1.0, step / peak
    else:
        low, high, share = 1.0, end, (step - peak) / (last - peak)
    return high + (low - high) * (1 + math.cos(math.pi * min(share, 1.0))) / 2
