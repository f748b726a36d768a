"""Generated problems that the transport tests share."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

Problem = tuple[Tensor, Tensor, Tensor]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def problem() -> Callable[..., Problem]:
    """Scores [*lead, B, K] in [0, 1], uneven row and column masses with total B, float64."""

    def make(rows: int, cols: int, *lead: int, zeros: int = 0) -> Problem:
        scores = torch.rand(*lead, rows, cols, dtype=torch.float64)
        a, b = (0.2 + torch.rand(*lead, n, dtype=torch.float64) for n in (rows, cols))
        a[..., :zeros], b[..., :zeros] = 0, 0
        return scores, rows * a / a.sum(-1, keepdim=True), rows * b / b.sum(-1, keepdim=True)

    return make
