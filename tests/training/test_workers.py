"""Several workers give the student that one worker gives: plain gloo processes, float64, SGD, five steps."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing.spawn as spawning
from safetensors.torch import load_file, save_file

from selkd.config import RunConfig, Workspace
from selkd.training.run import fit
from selkd.training.workers import Workers

STEPS = 5
ROWS = {"closed": 6, "open": 3}  # rows a category: 24 and 30, so that batches of 11 leave 2 and 8 rows
SELKD: dict[str, Any] = {"name": "selkd", "epsilon": 2.0}
CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("closed", SELKD, {}),
    ("closed", {**SELKD, "teacher_columns": "batch", "student_columns": "batch", "tolerance": 1e-12}, {}),
    ("open", SELKD, {}),
    ("open", {"name": "kd"}, {}),
    ("closed", SELKD, {"batch_size": 2, "clip": 0.5}),  # three workers: one has no rows at all
]


def config(mode: str, objective: dict[str, Any], **training: Any) -> RunConfig:
    return RunConfig.model_validate(
        {
            "data": {"augment": {"crop": 1, "erase": 0.3, "flip": True}, "rows_per_category": ROWS[mode]},
            "task": {"categories": ["three", "five", "eight", "nine"], "mode": mode},
            "teacher": "untrained",
            "student": {"model": "resnet8"},
            "objective": objective,
            "training": {
                "steps": STEPS,
                "batch_size": 11,
                "precision": "float64",
                "keep": "last",
                "views": 2,
                **training,
            },
            "workers": {"device": "cpu"},
        }
    )


def students(workers: Workers, out: Path) -> None:
    for index, (mode, objective, training) in enumerate(CASES):
        _, student = fit(config(mode, objective, **training), Workspace(out / f"run{index}"), workers, lambda _: None)
        save_file(student.state_dict(), out / f"{index}-{workers.rank}.safetensors")


def process(rank: int, size: int, out: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{out}/rendezvous", rank=rank, world_size=size)
    students(Workers.current(), out)
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def alone(taught: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = prepared(taught, tmp_path_factory.mktemp("alone"))
    students(Workers(), out)
    return out


def prepared(taught: Workspace, out: Path) -> Path:
    taught.evidence.mkdir(exist_ok=True)
    for index in range(len(CASES)):
        (out / f"run{index}").mkdir()
        for name in ("data", "teachers", "evidence"):
            (out / f"run{index}" / name).symlink_to(getattr(taught, name))
    return out


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3])
def test_several_workers_equal_one(size: int, taught: Workspace, alone: Path, tmp_path: Path) -> None:
    out = prepared(taught, tmp_path)
    spawning.spawn(process, (size, out), nprocs=size)
    for index in range(len(CASES)):
        one = load_file(alone / f"{index}-0.safetensors")
        for rank in range(size):
            found = load_file(out / f"{index}-{rank}.safetensors")
            for name, value in one.items():
                scale = value.double().abs().max().clamp(min=1e-12)
                gap = (found[name].double() - value.double()).abs().max() / scale
                assert gap <= 1e-9, f"case {index}, rank {rank}, {name}: {gap:.2e}"
