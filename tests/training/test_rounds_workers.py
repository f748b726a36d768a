"""Two workers choose the rows and train the student that one would, whatever the policy learns from the student."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch.multiprocessing.spawn import spawn

from selkd.config import RunConfig, Workspace
from selkd.training.run import fit
from selkd.training.workers import Workers

CASES: list[tuple[str, dict[str, Any]]] = [
    ("closed", {"policy": "all"}),
    ("closed", {"policy": "el2n", "rounds": 1, "balanced": True}),
    ("open", {"policy": "rad", "mistakes": 0.2}),
    ("open", {"policy": "ddk"}),
    ("closed", {"policy": "kd3", "cutoff": 0.3}),
    ("open", {"policy": "pruning", "score": "el2n", "rounds": 2, "alpha": 0.4}),
]


def config(mode: str, samples: dict[str, Any]) -> RunConfig:
    return RunConfig.model_validate(
        {
            "data": {"rows_per_category": 12 if mode == "closed" else 5, "augment": {"crop": 1}},
            "task": {"categories": ["three", "five", "eight"], "mode": mode},
            "teacher": "untrained",
            "student": {"model": "resnet8"},
            "objective": {"name": "kd"},
            "selection": {"samples": {"keep": 0.6, **samples}},
            "training": {"epochs": 3, "batch_size": 7, "precision": "float64", "keep": "last", "views": 2},
            "workers": {"device": "cpu"},
        }
    )


def students(workers: Workers, workspace: Workspace, out: Path) -> None:
    for index, (mode, samples) in enumerate(CASES):
        setup, student = fit(config(mode, samples), workspace, workers, lambda _: None, keep=False)
        weights = {name: value.contiguous() for name, value in student.state_dict().items()}
        found = {**weights, "used": setup.rounds.used, "by_output": setup.rounds.by_output}
        save_file(found, out / f"{index}-{workers.rank}.safetensors")


def process(rank: int, size: int, root: Path, out: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{out}/rendezvous", rank=rank, world_size=size)
    students(Workers.current(), Workspace(root), out)
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_workers_choose_and_train_as_one(workspace: Workspace, tmp_path: Path) -> None:
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    alone.mkdir()
    shared.mkdir()
    students(Workers(), workspace, alone)
    spawn(process, (2, workspace.root, shared), nprocs=2)
    for index, (mode, samples) in enumerate(CASES):
        one = load_file(alone / f"{index}-0.safetensors")
        for rank in range(2):
            found = load_file(shared / f"{index}-{rank}.safetensors")
            for name, value in one.items():
                gap = (found[name].double() - value.double()).abs().max()
                assert gap <= 1e-9 * max(float(value.double().abs().max()), 1e-12), (mode, samples, rank, name)
