"""Several workers give the student that one worker gives: plain gloo processes, float64, SGD, five steps."""

import gc
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch.multiprocessing.spawn import spawn

from selkd.config import RunConfig, Workspace
from selkd.training.run import DEFAULT_RECORDING, fit, work
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
    ("open", {"name": "kd"}, {"teacher": "online", "accumulate": 2, "mixup": 0.4, "cutmix": 1.0}),
    ("closed", SELKD, {"teacher": "online", "dropout": 0.3}),
    ("closed", {"name": "transport", "tolerance": 1e-12}, {}),
    ("open", {"name": "transport", "kind": "debiased", "likeliest": 4, "tolerance": 1e-12}, {"batch_size": 2}),
    ("open", {"name": "mapped"}, {}),
]


def config(mode: str, objective: dict[str, Any], **training: Any) -> RunConfig:
    augment = {"crop": 1, "erase": 0.3, "flip": True}
    augment |= {name: training.pop(name) for name in ("mixup", "cutmix") if name in training}
    student = (
        {"model": "wrn_16_1", "dropout": training.pop("dropout")} if "dropout" in training else {"model": "resnet8"}
    )
    training |= {} if "teacher" in training else {"views": 2}
    return RunConfig.model_validate(
        {
            "data": {"augment": augment, "rows_per_category": ROWS[mode]},
            "task": {"categories": ["three", "five", "eight", "nine"], "mode": mode},
            "teacher": "untrained",
            "student": student,
            "objective": objective,
            "training": {
                "steps": STEPS,
                "batch_size": 11,
                "precision": "float64",
                "keep": "last",
                **training,
            },
            "workers": {"device": "cpu"},
        }
    )


def students(workers: Workers, out: Path) -> None:
    for index, (mode, objective, training) in enumerate(CASES):
        _, student = fit(config(mode, objective, **training), Workspace(out / f"run{index}"), workers, lambda _: None)
        weights = {name: value.contiguous() for name, value in student.state_dict().items()}
        save_file(weights, out / f"{index}-{workers.rank}.safetensors")


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
    spawn(process, (size, out), nprocs=size)
    for index in range(len(CASES)):
        one = load_file(alone / f"{index}-0.safetensors")
        for rank in range(size):
            found = load_file(out / f"{index}-{rank}.safetensors")
            for name, value in one.items():
                scale = value.double().abs().max().clamp(min=1e-12)
                gap = (found[name].double() - value.double()).abs().max() / scale
                assert gap <= 1e-9, f"case {index}, rank {rank}, {name}: {gap:.2e}"


def fails_on_rank_0(rank: int, size: int, out: Path, when: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{out}/meeting-{when}", rank=rank, world_size=size)
    settings = config("closed", SELKD).model_copy(update={"name": when})

    def hear(epoch: Any) -> None:
        if when == "epoch":
            raise OSError("no room for the epoch")

    try:
        work(settings, Workspace(out / "run0"), Workers.current(), hear, {}, DEFAULT_RECORDING)
    except Exception as error:
        (out / f"{when}-{rank}").write_text(str(error))
    gc.collect()  # what still holds the group would keep its threads, and those abort an interpreter that ends
    dist.destroy_process_group()


@pytest.mark.slow
def test_a_fault_of_the_first_worker_ends_all(taught: Workspace, tmp_path: Path) -> None:
    """The others wait in a collective; they must hear of it instead of waiting for ever."""
    out = prepared(taught, tmp_path)
    for when, blocked in (("begin", "config.yaml"), ("epoch", ""), ("conclude", "predictions-test.parquet")):
        folder = out / "run0" / "runs" / config("closed", SELKD).model_copy(update={"name": when}).key
        (folder / (blocked or "unblocked")).mkdir(parents=True)
        spawn(fails_on_rank_0, (2, out, when), nprocs=2)
        told = [(out / f"{when}-{rank}").read_text() for rank in range(2)]
        assert told[0] == told[1], told
        assert (blocked or "no room") in told[0]
