"""Rows of all workers, in rank order, with gradient."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gather_rows(local: Tensor, group: dist.ProcessGroup | None = None) -> Tensor:
    """Every rank's rows [b_r, ...] as one [sum b_r, ...] on every rank, in rank order; shards may be uneven or empty.

    A rank's gradient is the sum of what all ranks' losses say about its rows, to any order. Without a process group
    there is one rank, and its rows are returned.
    """
    if group is None and not (dist.is_available() and dist.is_initialized()):
        return local
    if dist.get_world_size(group) == 1:
        return local
    counts = [torch.zeros((), dtype=torch.int64, device=local.device) for _ in range(dist.get_world_size(group))]
    dist.all_gather(counts, torch.tensor(len(local), device=local.device), group=group)
    return _Gather.apply(local, tuple(int(c) for c in counts), group)  # pyright: ignore[reportReturnType]


class _Gather(torch.autograd.Function):
    """[b_r, ...] on each rank -> [B, ...] on all; the adjoint sums over ranks and keeps the own rows."""

    @staticmethod
    def forward(ctx: Any, local: Tensor, counts: tuple[int, ...], group: dist.ProcessGroup | None) -> Tensor:
        ctx.counts, ctx.group = counts, group
        padded = local.new_zeros(max(counts), *local.shape[1:])
        padded[: len(local)] = local
        shards = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(shards, padded, group=group)
        return torch.cat([shard[:count] for shard, count in zip(shards, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return _OwnOfSum.apply(grads[0], ctx.counts, ctx.group), None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return _Gather.apply(tangents[0], ctx.counts, ctx.group)


class _OwnOfSum(torch.autograd.Function):
    """[B, ...] on each rank -> the own rows of their sum; the adjoint is the gather."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: tuple[int, ...], group: dist.ProcessGroup | None) -> Tensor:
        ctx.counts, ctx.group = counts, group
        total = rows.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=group)
        return total.split(counts)[dist.get_rank(group)].clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return _Gather.apply(grads[0], ctx.counts, ctx.group), None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return _OwnOfSum.apply(tangents[0], ctx.counts, ctx.group)
