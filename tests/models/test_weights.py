"""Weights from elsewhere are read without running anything that their file holds."""

import os
import random
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from selkd import models
from selkd.errors import UserError
from selkd.models.weights import load_weights, read_weights, write_weights


@pytest.fixture
def network() -> nn.Module:
    return models.build("cnn", channels=1, outputs=3, image_size=8, width=2)


def wrap(state: dict[str, Tensor], form: str) -> Any:
    prefixed = {f"module.{key}": value for key, value in state.items()}
    return {
        "plain": state,
        "data parallel": prefixed,
        "nested": {"epoch": 3, "state_dict": state},
        "nested twice": {"best_acc": 0.9, "model": {"state_dict": prefixed}},
    }[form]


@pytest.mark.parametrize("form", ["plain", "data parallel", "nested", "nested twice"])
def test_state_dicts_are_read_in_every_common_form(network: nn.Module, tmp_path: Path, form: str):
    torch.save(wrap(network.state_dict(), form), tmp_path / "w.pth")
    other = models.build("cnn", channels=1, outputs=3, image_size=8, width=2)
    load_weights(other, read_weights(tmp_path / "w.pth"), "w.pth")
    assert all(
        torch.equal(a, b) for a, b in zip(other.state_dict().values(), network.state_dict().values(), strict=True)
    )


def test_what_is_written_is_read_bit_for_bit_and_written_alike_again(network: nn.Module, tmp_path: Path):
    write_weights(tmp_path / "a.safetensors", network)
    write_weights(tmp_path / "b.safetensors", network)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    found = read_weights(tmp_path / "a.safetensors")
    assert all(torch.equal(found[key], value) for key, value in network.state_dict().items())


def test_old_files_without_batch_counters_load(network: nn.Module):
    state = {key: value for key, value in network.state_dict().items() if not key.endswith("num_batches_tracked")}
    load_weights(network, state, "old.pth")


class Trap:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def test_a_pickle_that_would_run_code_is_refused_and_not_run(tmp_path: Path):
    torch.save({"state_dict": Trap(tmp_path / "ran")}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="holds more than tensors"):
        read_weights(tmp_path / "w.pth")
    assert not (tmp_path / "ran").exists()


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"none\.pth: no such file"):
        read_weights(tmp_path / "none.pth")


@pytest.mark.parametrize("content", [[1, 2], {}, {"lr": 0.1}, {"a": torch.zeros(1), 3: torch.zeros(1)}])
def test_what_is_no_state_dict_is_refused(content: Any, tmp_path: Path):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(UserError, match="state dict"):
        read_weights(tmp_path / "w.pth")


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_any_damage_gives_one_readable_error(network: nn.Module, tmp_path: Path, ending: str):
    file = tmp_path / f"w.{ending}"
    if ending == "pth":
        torch.save(network.state_dict(), file)
    else:
        write_weights(file, network)
    whole = file.read_bytes()
    chance = random.Random(0)
    damaged = [whole[:cut] for cut in (0, 1, 7, len(whole) // 2, len(whole) - 1)]
    damaged += [chance.randbytes(length) for length in (1, 2, 3, 5, 9, 100, 100, 100) * 20]
    damaged += [b"\x80\x02" + chance.randbytes(60) for _ in range(60)]
    for content in damaged:
        file.write_bytes(content)
        with pytest.raises(UserError, match=file.name):
            read_weights(file)


def test_what_does_not_fit_is_listed(network: nn.Module):
    state = dict(network.state_dict())
    state["extra"] = state.pop("blocks.0.0.weight")
    state["head.bias"] = torch.zeros(4)
    with pytest.raises(UserError) as error:
        load_weights(network, state, "w.pth")
    for part in ("w.pth", "blocks.0.0.weight is missing", "extra is not a part", "head.bias is [4] instead of [3]"):
        assert part in str(error.value)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_refused(network: nn.Module, tmp_path: Path, value: float):
    state = network.state_dict()
    state["head.bias"][1] = value
    safetensors.torch.save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"NaN or infinite values in head\.bias"):
        read_weights(tmp_path / "w.safetensors")
