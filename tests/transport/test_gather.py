"""Several workers solve the problem that one would."""

import multiprocessing
import os

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import Tensor

from selkd.transport import Partial, RowsAndColumns, gather_rows, solve

ROWS, COLS = 7, 4
SHARDS = {1: (7,), 2: (5, 2), 3: (3, 0, 4)}


def scores() -> Tensor:
    return torch.randn(ROWS, COLS, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def loss(rows: Tensor, kind: str, own: slice) -> Tensor:
    """The own rows' share of a loss that is a sum over the rows of the global plan."""
    masses = torch.tensor([1.0, 2.0, 0.0, 4.0], dtype=torch.float64)
    constraint = Partial(3.5) if kind == "partial" else RowsAndColumns(masses)
    plan = solve(rows, constraint, epsilon=0.7, tolerance=1e-13).log.exp()
    return (plan * torch.arange(ROWS * COLS).view(ROWS, COLS).sin())[own].square().sum()


def work(rank: int, size: int, kind: str, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size)
    first = sum(SHARDS[size][:rank])
    own = slice(first, first + SHARDS[size][rank])
    local = scores()[own].clone().requires_grad_()
    rows = gather_rows(local)
    mine = loss(rows, kind, own)
    (grad,) = torch.autograd.grad(mine, local, create_graph=True)
    (second,) = torch.autograd.grad(grad.square().sum(), local)
    save_file({"rows": rows.detach(), "grad": grad.detach(), "second": second}, f"{folder}/{rank}")
    dist.barrier()
    dist.destroy_process_group()


def alone(kind: str) -> tuple[Tensor, Tensor, Tensor]:
    rows = scores().requires_grad_()
    (grad,) = torch.autograd.grad(loss(rows, kind, slice(None)), rows, create_graph=True)
    (second,) = torch.autograd.grad(grad.square().sum(), rows)
    return rows.detach(), grad.detach(), second


@pytest.mark.parametrize(("size", "kind"), [(1, "columns"), (2, "columns"), (3, "columns"), (3, "partial")])
def test_plans_and_their_first_and_second_derivatives_equal_one_worker(tmp_path, size, kind):
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    context = multiprocessing.get_context("spawn")  # a forked process has no autograd where its parent used threads
    processes = [context.Process(target=work, args=(rank, size, kind, str(tmp_path))) for rank in range(size)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * size
    rows, grad, second = alone(kind)
    parts = [load_file(tmp_path / str(rank)) for rank in range(size)]
    for part in parts:
        torch.testing.assert_close(part["rows"], rows, atol=0, rtol=0)
    torch.testing.assert_close(torch.cat([part["grad"] for part in parts]), grad, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(torch.cat([part["second"] for part in parts]), second, atol=1e-11, rtol=1e-11)


def test_without_a_group_the_rows_are_their_own():
    rows = scores()
    assert gather_rows(rows) is rows
