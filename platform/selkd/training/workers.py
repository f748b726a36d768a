"""The group of processes that train one student together, and the sums they share.

The loss of a step is a sum over the rows of the global batch, so a rank's gradient is its share of a sum: gradients,
batch statistics and metrics are all-reduced by addition, never averaged.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from selkd.errors import UserError
from selkd.transport import gather_rows

T = TypeVar("T")


@dataclass(frozen=True)
class Workers:
    """Rank and size of this process; a group of one communicates with nobody."""

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> "Workers":
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, rows: Tensor) -> Tensor:
        """This rank's consecutive rows of a global batch; the shares differ by one row at most and may be empty."""
        return rows.tensor_split(self.size)[self.rank]

    def offset(self, total: int) -> int:
        """Position of this rank's first row in a global batch of `total` rows."""
        base, extra = divmod(total, self.size)
        return self.rank * base + min(self.rank, extra)

    def gather(self, rows: Tensor) -> Tensor:
        """All ranks' rows in row order, with gradient."""
        return rows if self.size == 1 else gather_rows(rows)

    def sum(self, value: Tensor) -> Tensor:
        """Sum over ranks, with gradient."""
        return value if self.size == 1 else _Sum.apply(value)

    def sum_(self, value: Tensor) -> Tensor:
        """Sum over ranks in place, without gradient."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def lead(self, action: Callable[[], None]) -> None:
        """The first rank acts and the others wait; what it raises is raised on all of them, so that nobody hangs."""
        self.together(action if self.first else lambda: None)

    def together(self, action: Callable[[], T]) -> T:
        """Every rank acts; if one raises, all raise."""
        if self.size == 1:
            return action()
        result, fault = None, None
        try:
            result = action()
        except Exception as error:
            fault = error
        told: list[Any] = [None] * self.size
        dist.all_gather_object(told, fault and (str(fault) or type(fault).__name__))
        if fault is not None:
            try:
                raise fault
            finally:
                del fault  # its traceback holds this frame, and so all of training, until the collector comes
        if any(told):
            raise UserError(next(text for text in told if text))
        return cast(T, result)


class _Sum(torch.autograd.Function):
    """Linear and symmetric: its derivatives in both modes are itself."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return _Sum.apply(grads[0].contiguous())  # pyright: ignore[reportReturnType]

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        return _Sum.apply(tangents[0].contiguous())  # pyright: ignore[reportReturnType]
