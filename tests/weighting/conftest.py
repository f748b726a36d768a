"""Rows, a teacher's answers to them, and a moment of training, in float64."""

import pytest
import torch
from torch.nn import functional as F

from selkd.selection import RowEvidence
from selkd.weighting import Moment

ROWS, OUTPUTS, B = 40, 4, 12


@pytest.fixture(scope="session")
def evidence() -> RowEvidence:
    """40 rows of the first three of four outputs; the last one has none."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(ROWS) % (OUTPUTS - 1)
    logits = 2 * torch.randn(ROWS, OUTPUTS, generator=generator, dtype=torch.float64) + F.one_hot(labels, OUTPUTS)
    answers = logits.log_softmax(1)
    return RowEvidence(torch.arange(ROWS), labels, OUTPUTS, 1, lambda: answers)


@pytest.fixture(scope="session")
def moment() -> Moment:
    generator = torch.Generator().manual_seed(4)
    student, teacher, begun = (3 * torch.randn(B, OUTPUTS, generator=generator, dtype=torch.float64) for _ in range(3))
    targets = F.one_hot(torch.arange(B) % OUTPUTS, OUTPUTS).double()
    return Moment(student, teacher, targets, torch.arange(100, 100 + B), step=3, progress=0.25, begun=begun)
