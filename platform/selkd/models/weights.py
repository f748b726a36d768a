"""Weights in files: written as safetensors, read from safetensors or a state dict without unpickling objects."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from selkd.errors import UserError
from selkd.files import write_bytes

NESTINGS = ("state_dict", "model")
SHOWN = 8


def write_weights(path: Path, network: nn.Module) -> None:
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    _refuse_infinite(state, "the network")
    write_bytes(path, safetensors.torch.save(state))


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a state dict that `torch.save` wrote; finite ones only."""
    if not path.is_file():
        raise UserError(f"{path}: no such file of weights.")
    try:
        if path.suffix == ".safetensors":
            found = safetensors.torch.load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"{path}: holds more than tensors, or is no file of weights, and is not unpickled. Save the network's "
            "state_dict() with safetensors or torch.save."
        ) from None
    except Exception as error:  # an unpickler of damaged bytes raises whatever it trips over
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: damaged, or no file of weights ({reason}).") from None
    weights = {key.removeprefix("module."): value for key, value in _unnested(path, found).items()}
    _refuse_infinite(weights, str(path))
    return weights


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Put `weights` into `network`, key by key; what does not fit is listed.

    Counters of batches may be absent: files from before torch 0.4.1 have none, and inference does not read them.
    """
    wanted = network.state_dict()
    faults = [f"{key} is missing" for key in wanted if key not in weights and not key.endswith("num_batches_tracked")]
    faults += [f"{key} is not a part of the architecture" for key in weights if key not in wanted]
    faults += [
        f"{key} is {list(weights[key].shape)} instead of {list(value.shape)}"
        for key, value in wanted.items()
        if key in weights and weights[key].shape != value.shape
    ]
    if faults:
        raise UserError(f"{source}: the weights do not fit the architecture: {_listed(faults)}.")
    network.load_state_dict(dict(weights), strict=False)


def _refuse_infinite(weights: Mapping[str, Tensor], source: str) -> None:
    odd = [key for key, value in weights.items() if value.is_floating_point() and not value.isfinite().all()]
    if odd:
        raise UserError(f"{source}: NaN or infinite values in {_listed(odd)}. Use a network that did not diverge.")


def _unnested(path: Path, found: Any) -> dict[str, Tensor]:
    while isinstance(found, Mapping):
        inner = next((found[key] for key in NESTINGS if isinstance(found.get(key), Mapping)), None)
        if inner is None:
            break
        found = inner
    if not isinstance(found, Mapping) or not found:
        raise UserError(f"{path}: expected a state dict, found {type(found).__name__}.")
    odd = [str(key) for key, value in found.items() if not isinstance(key, str) or not isinstance(value, Tensor)]
    if odd:
        raise UserError(f"{path}: not a state dict: {_listed(odd)} are not tensors. Save the network's state_dict().")
    return dict(found)


def _listed(items: list[str]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more
