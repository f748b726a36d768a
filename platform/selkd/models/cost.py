"""What a model costs: parameters, multiply-adds and latency of one row."""

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def multiply_adds(model: nn.Module, shape: Sequence[int]) -> int:
    """Multiply-adds of one row of `shape` in convolutions and matrix products: half of torch's count of operations."""
    from torch.utils.flop_counter import FlopCounterMode

    with _evaluating(model), FlopCounterMode(display=False) as counter:
        model(_rows(model, 1, shape))
    return counter.get_total_flops() // 2


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
