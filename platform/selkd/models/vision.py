"""torchvision's classifiers, untrained, as `torchvision:NAME`."""

from typing import Any

from torch import nn

from selkd.models.registry import Interface, Settings, family

PREFIX = "torchvision:"


def _names() -> list[str]:
    from torchvision import models

    return [PREFIX + name for name in models.list_models(module=models)]


@family(_names)
def vision(name: str, interface: Interface, settings: Settings) -> nn.Module:
    from torchvision import models

    name = name.removeprefix(PREFIX)
    network = models.get_model(name, weights=None, num_classes=interface.outputs, **_arguments(name, interface))
    if interface.channels != 3:
        _replace_first_convolution(network, interface.channels)
    return network


def _arguments(name: str, interface: Interface) -> dict[str, Any]:
    """What some constructors must be told beyond the number of outputs."""
    if name.startswith("vit_"):
        return {"image_size": interface.image_size}
    if name.startswith("maxvit_"):
        return {"input_size": (interface.image_size, interface.image_size)}
    if name in ("googlenet", "inception_v3"):
        return {"aux_logits": False, "init_weights": True}
    return {}


def _replace_first_convolution(network: nn.Module, channels: int) -> None:
    """The same convolution over another number of channels, initialised anew."""
    path, first = next((path, module) for path, module in network.named_modules() if isinstance(module, nn.Conv2d))
    options = {key: getattr(first, key) for key in ("kernel_size", "stride", "padding", "dilation")}
    fresh = nn.Conv2d(channels, first.out_channels, **options, bias=first.bias is not None)
    nn.init.kaiming_normal_(fresh.weight, mode="fan_out", nonlinearity="relu")
    if fresh.bias is not None:
        nn.init.zeros_(fresh.bias)
    network.set_submodule(path, fresh)
