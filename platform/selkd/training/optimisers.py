"""Optimisers by name."""

from collections.abc import Iterable
from inspect import unwrap
from typing import Literal, TypeVar, cast

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import nn


class OptimiserSettings(BaseModel):
    """Which optimiser, and its constants."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: Literal["sgd", "adamw"] = Field(default="sgd", description="SGD with momentum, or AdamW.")
    lr: float = Field(default=0.05, gt=0, description="Base learning rate; the schedule multiplies it.")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="SGD's momentum; AdamW's first beta.")
    weight_decay: float = Field(default=5e-4, ge=0, description="L2 penalty (SGD), or decoupled decay (AdamW).")
    nesterov: bool = Field(default=False, description="Nesterov momentum (SGD).")

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> "OptimiserSettings":
        if self.nesterov and (self.name != "sgd" or self.momentum == 0):
            raise ValueError("nesterov needs name: sgd and a momentum above 0")
        return self

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        if self.name == "sgd":
            return SGD(parameters, self.lr, self.momentum, weight_decay=self.weight_decay, nesterov=self.nesterov)
        return AdamW(parameters, self.lr, (self.momentum, 0.999), weight_decay=self.weight_decay)


T = TypeVar("T", bound=torch.optim.Optimizer)
WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def unwrapped(cls: type[T]) -> type[T]:
    """The same optimiser without torch's wrappers, which import its compiler, a second and a half, to keep it out."""
    methods = {name: unwrap(getattr(cls, name)) for name in WRAPPED}
    return cast(type[T], type(cls.__name__, (cls,), methods | {"step": torch.no_grad()(unwrap(cls.step))}))


SGD, AdamW = unwrapped(torch.optim.SGD), unwrapped(torch.optim.AdamW)
