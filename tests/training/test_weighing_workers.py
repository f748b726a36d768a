"""Three workers weigh rows, look ahead and learn as one would, also where a worker has no outer row."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch.multiprocessing.spawn import spawn

from selkd.config import RunConfig, Workspace
from selkd.tracking import save_student
from selkd.training.run import fit
from selkd.training.setup import Setup
from selkd.training.workers import Workers

TGEO = {"policy": "tgeo", "dim": 8, "outer_rows": 2, "lr": 0.01}
FAULTS = {"labels": 0.2, "images": 0.2, "teacher": 0.3}
RESNET, DROPOUT = {"model": "resnet8"}, {"model": "wrn_16_1", "dropout": 0.3}
CASES: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("closed", "kd", TGEO, RESNET),
    ("open", "selkd", TGEO, RESNET),
    ("closed", "selkd", {"policy": "bikd", "outer_rows": 5, "every": 2, "bounded": True}, DROPOUT),
    ("closed", "kd", {**TGEO, "heads": 2}, {"model": "mlp"}),
    ("closed", "kd", {"policy": "random"}, {"model": "mlp"}),
    ("open", "kd", {"policy": "dp-transfer"}, RESNET),
]


def config(root: Path, mode: str, objective: str, weighting: dict[str, Any], student: dict[str, Any]) -> RunConfig:
    rows = 10 if mode == "closed" else 4
    return RunConfig.model_validate(
        {
            "data": {"rows_per_category": rows, "outer": 0.25, "augment": {"crop": 1}, "faults": FAULTS},
            "task": {"categories": ["three", "five", "eight"], "mode": mode},
            "teacher": "untrained",
            "student": student,
            "objective": objective,
            "weighting": weighting,
            "start": str(root / "start") if weighting["policy"] == "dp-transfer" else None,
            "training": {"steps": 5, "batch_size": 7, "precision": "float64", "keep": "last", "views": 2},
            "workers": {"device": "cpu"},
        }
    )


def students(workers: Workers, workspace: Workspace, out: Path) -> None:
    for index, case in enumerate(CASES):
        metrics: list[dict[str, float]] = []
        heard = metrics.append
        setup, student = fit(
            config(workspace.root, *case), workspace, workers, lambda epoch, to=heard: to(epoch.metrics), keep=False
        )
        assert setup.weighing is not None
        weights = {name: value.contiguous() for name, value in student.state_dict().items()}
        found = {**weights, "counts": setup.weighing.ratios.counts}
        found |= {f"omega.{name}": value for name, value in setup.weighing.policy.state_dict().items()}
        if metrics:
            names = sorted(name for name in metrics[-1] if name.startswith("ratio") or name == "train/loss")
            found["metrics"] = torch.tensor([metrics[-1][name] for name in names], dtype=torch.float64)
        save_file(found, out / f"{index}-{workers.rank}.safetensors")


def begin(workspace: Workspace) -> None:
    """The student as which those of `dp-transfer` begin: of another seed, not trained."""
    mode, objective, _, student = CASES[-1]
    settings = config(workspace.root, mode, objective, {"policy": "random"}, student)
    setup = Setup.of(settings.model_copy(update={"seed": 1}), workspace, Workers(), torch.device("cpu"))
    save_student(workspace.root / "start", setup.student().to(torch.float32), setup.card())


def process(rank: int, size: int, root: Path, out: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{out}/rendezvous", rank=rank, world_size=size)
    students(Workers.current(), Workspace(root), out)
    dist.destroy_process_group()


@pytest.mark.slow
def test_three_workers_weigh_and_learn_as_one(workspace: Workspace, tmp_path: Path) -> None:
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    alone.mkdir()
    shared.mkdir()
    (workspace.root / "start").mkdir()
    begin(workspace)
    students(Workers(), workspace, alone)
    spawn(process, (3, workspace.root, shared), nprocs=3)
    for index, case in enumerate(CASES):
        one = load_file(alone / f"{index}-0.safetensors")
        for rank in range(3):
            found = load_file(shared / f"{index}-{rank}.safetensors")
            for name, value in one.items():
                if name == "metrics" and rank:
                    continue  # the first worker reports
                gap = (found[name].double() - value.double()).abs().max()
                assert gap <= 1e-9 * max(float(value.double().abs().max()), 1e-12), (case, rank, name)
