"""What a model costs: parameters, multiply-adds and latency of one row."""

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

OURS = ("selkd.models.", "selkd.training.")
LAYERS = {nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.Dropout, nn.MaxPool2d, nn.ReLU, nn.Sequential}


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def multiply_adds(model: nn.Module, shape: Sequence[int]) -> int:
    """Multiply-adds of one row of `shape` in convolutions and matrix products: half of torch's count of operations.

    Torch's counter imports its compiler, a second or two. Networks of ours multiply in their layers alone, which tell.
    """
    kinds = {type(module) for module in model.modules()}
    if all(kind in LAYERS or kind.__module__.startswith(OURS) for kind in kinds):
        return _of_layers(model, shape)
    from torch.utils.flop_counter import FlopCounterMode

    with _evaluating(model), FlopCounterMode(display=False) as counter:
        model(_rows(model, 1, shape))
    return counter.get_total_flops() // 2


def _of_layers(model: nn.Module, shape: Sequence[int]) -> int:
    found: list[int] = []

    def note(layer: nn.Conv2d | nn.Linear, _: Any, answer: Tensor) -> None:
        found.append(answer.numel() * layer.weight[0].numel())

    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        with _evaluating(model):
            model(_rows(model, 1, shape))
    finally:
        for hook in hooks:
            hook.remove()
    return sum(found)


def latency(
    model: nn.Module, shape: Sequence[int], device: torch.device | str, *, batch_size: int = 1, repeats: int = 30
) -> float:
    """Median seconds of one forward pass of a model that lives on `device`."""
    device = torch.device(device)
    images = _rows(model, batch_size, shape).to(device)
    seconds = []
    with _evaluating(model):
        for _ in range(3 + repeats):
            _wait(device)
            start = time.perf_counter()
            model(images)
            _wait(device)
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[3:])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _rows(model: nn.Module, count: int, shape: Sequence[int]) -> Tensor:
    return next(model.parameters()).new_zeros((count, *shape))


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards every module is in the mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        with torch.no_grad():
            model.eval()
            yield
    finally:
        for module, mode in modes:
            module.training = mode
