"""The loop as a whole, in one process."""

from typing import Any

import pytest
import torch
from torch import Tensor

from selkd.config import RunConfig, Workspace
from selkd.training.run import fit
from selkd.training.workers import Workers

STILL = {"name": "constant"}


def config(**training: Any) -> RunConfig:
    return RunConfig.model_validate(
        {
            "data": {"rows_per_category": 11},
            "task": {"categories": ["three", "five"]},
            "student": {"model": "mlp", "hidden": [6]},
            "training": {
                "epochs": 3,
                "precision": "float64",
                "keep": "last",
                "schedule": {"name": "constant"},
                **training,
            },
            "workers": {"device": "cpu"},
        }
    )


def weights(settings: RunConfig, workspace: Workspace) -> list[Tensor]:
    _, student = fit(settings, workspace, Workers(), lambda _: None, keep=False)
    return list(student.state_dict().values())


def test_the_same_seed_gives_the_same_student_and_another_seed_another(workspace: Workspace) -> None:
    first, again = (weights(config(batch_size=8), workspace) for _ in range(2))
    assert all(map(torch.equal, first, again))
    other = weights(config(batch_size=8).model_copy(update={"seed": 1}), workspace)
    assert not all(map(torch.equal, first, other))


def test_accumulated_batches_are_one_large_batch_short_last_ones_included(workspace: Workspace) -> None:
    """22 rows: updates of 16 and 6, as batches of 16 or as pairs of batches of 8."""
    large = weights(config(batch_size=16), workspace)
    small = weights(config(batch_size=8, accumulate=2), workspace)
    for a, b in zip(large, small, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_clipping_bounds_every_update(workspace: Workspace) -> None:
    plain = {"optimiser": {"lr": 1.0, "momentum": 0, "weight_decay": 0}, "epochs": None, "steps": 1, "batch_size": 22}
    start = weights(config(**{**plain, "optimiser": {"lr": 1e-300, "momentum": 0, "weight_decay": 0}}), workspace)
    moved = weights(config(**plain, clip=0.01), workspace)
    length = torch.stack([(a - b).square().sum() for a, b in zip(start, moved, strict=True)]).sum().sqrt()
    assert float(length) == pytest.approx(0.01, rel=1e-3)


def test_bf16_trains_and_keeps_float32_weights(workspace: Workspace) -> None:
    found = weights(config(batch_size=8, precision="bf16"), workspace)
    assert {value.dtype for value in found} == {torch.float32}
    assert all(value.isfinite().all() for value in found)
