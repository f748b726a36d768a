"""The registry of architectures: a name, its settings, and the function that builds it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

from selkd import plugins
from selkd.errors import UserError, nearest


class Settings(BaseModel):
    """Settings of a family; the bare class is that of a family without any."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Interface:
    """What a network reads and answers: square images in, one logit per output."""

    channels: int
    outputs: int
    image_size: int


Builder = Callable[[str, Interface, Any], nn.Module]


@dataclass(frozen=True)
class Family:
    """Architectures that share their settings and their builder."""

    listed: Callable[[], Iterable[str]]
    settings: type[Settings]
    build: Builder

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(self.listed())


FAMILIES: list[Family] = []
_TAKEN: set[str] = set()


def family(
    names: Iterable[str] | Callable[[], Iterable[str]], settings: type[Settings] = Settings
) -> Callable[[Builder], Builder]:
    """Make the architectures `names` known; the decorated function builds each of them.

    Names that only a slow import can tell are given as a function, which is called when a name is not another's.
    """

    def register(build: Builder) -> Builder:
        told = () if callable(names) else tuple(names)
        if taken := [name for name in told if name in _TAKEN]:
            raise UserError(f"{build.__module__}: the architecture {taken[0]!r} is there already")
        _TAKEN.update(told)
        FAMILIES.append(Family(names if callable(names) else partial(tuple, told), settings, build))
        return build

    return register


def names() -> list[str]:
    """Every architecture, family by family."""
    return [name for family in FAMILIES for name in family.names]


def find(name: str) -> Family:
    if name not in _TAKEN:
        plugins.load()
    for family in FAMILIES:
        if name in family.names:
            return family
    torchvision = f"torchvision:{name}"
    hint = f"Did you mean {torchvision!r}?" if torchvision in names() else nearest(name, names())
    raise UserError(f"{name!r} is not an architecture. {hint}")


def check(name: str, settings: Mapping[str, Any]) -> Settings:
    """The settings of architecture `name`, validated; what is wrong with them is said all at once."""
    allowed = find(name).settings
    try:
        return allowed.model_validate(dict(settings))
    except ValidationError as error:
        faults = [_fault(name, allowed, fault) for fault in error.errors(include_url=False)]
        raise UserError(" ".join(faults)) from None


def _fault(name: str, allowed: type[Settings], fault: Any) -> str:
    key = ".".join(map(str, fault["loc"]))
    if fault["type"] == "extra_forbidden":
        return f"{name} has no setting {key!r}. {nearest(key, allowed.model_fields)}"
    return f"{name}.{key}: {fault['input']!r} is refused: {fault['msg'][0].lower()}{fault['msg'][1:]}."


def build(name: str, *, channels: int, outputs: int, image_size: int, **settings: Any) -> nn.Module:
    """A freshly initialised network; images it cannot read are refused here, not in training."""
    checked = check(name, settings)
    try:
        network = find(name).build(name, Interface(channels, outputs, image_size), checked)
        logits = _try(network, torch.zeros(2, channels, image_size, image_size))
    except (RuntimeError, ValueError, AssertionError) as error:
        shape, reason = f"{channels} x {image_size} x {image_size}", str(error).splitlines()[0]
        raise UserError(
            f"{name} does not read {shape} images ({reason}). Choose another architecture or image size."
        ) from None
    assert logits.shape == (2, outputs), f"{name} answers {tuple(logits.shape)} for (2, {outputs})"
    return network


@torch.no_grad()
def _try(network: nn.Module, images: Tensor) -> Tensor:
    """What the network answers; neither its statistics nor the state of randomness is touched.

    By shapes alone, on the meta device, it would take seconds: for the first network, torch imports its compiler.
    """
    buffers = {name: values.clone() for name, values in network.named_buffers()}
    with torch.random.fork_rng(devices=[]):
        return torch.func.functional_call(network, buffers, images)
