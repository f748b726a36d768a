"""Optimisers move as torch's do, to the last bit, and training does not import torch's compiler."""

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from selkd.training.optimisers import OptimiserSettings

KINDS: dict[str, tuple[dict[str, Any], Callable[..., torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": ({"momentum": 0}, torch.optim.SGD, {"momentum": 0}),
    "momentum": ({}, torch.optim.SGD, {"momentum": 0.9}),
    "nesterov": ({"nesterov": True}, torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "adamw": ({"name": "adamw"}, torch.optim.AdamW, {"betas": (0.9, 0.999)}),
}
TRAINED = """
import sys, selkd
selkd.train({"training": {"epochs": 1}, "student": {"model": "cnn", "width": 2}})
print([name for name in ("torch._dynamo", "torch._inductor", "sympy", "sklearn") if name in sys.modules])
"""


@pytest.mark.parametrize("kind", KINDS)
def test_updates_and_states_are_torchs(kind: str) -> None:
    said, reference, settings = KINDS[kind]
    torch.manual_seed(0)
    ours = nn.Linear(4, 3)
    theirs, images = copy.deepcopy(ours), torch.randn(6, 4)
    found = OptimiserSettings(lr=0.1, weight_decay=0.01, **said).build(ours.parameters())
    expected = reference(theirs.parameters(), lr=0.1, weight_decay=0.01, **settings)
    for step in range(5):
        for network, optimiser in ((ours, found), (theirs, expected)):
            optimiser.zero_grad(set_to_none=True)
            network(images).square().sum().backward()
            optimiser.step()
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True)), step
        found.load_state_dict(copy.deepcopy(expected.state_dict()))
    assert found.state_dict()["param_groups"] == expected.state_dict()["param_groups"]


@pytest.mark.slow
def test_training_imports_no_compiler(tmp_path: Path) -> None:
    found = subprocess.run([sys.executable, "-c", TRAINED], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert found.stdout.splitlines()[-1] == "[]"
