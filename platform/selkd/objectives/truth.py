"""Losses against the labels: cross-entropy and its two standard corrections for imbalance."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Truth = Literal["cross-entropy", "logit-adjusted", "class-balanced"]


def truth_loss(kind: Truth, logits: Tensor, targets: Tensor, counts: Tensor) -> Tensor:
    """Per-row loss [b] of logits [b, o] against one-hot or soft targets [b, o]; counts [o] are training rows.

    logit-adjusted: cross-entropy of z + log prior (Menon et al. 2021, tau = 1).
    class-balanced: rows weighted by n / (o n_c), so that every category weighs the same (mean weight one over the
    training rows).
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    targets, counts = targets.to(logits.dtype), counts.to(logits.dtype).clamp(min=1)
    if kind == "logit-adjusted":
        logits = logits + (counts / counts.sum()).log()
    if kind == "class-balanced":
        targets = targets * (counts.sum() / (len(counts) * counts))
    return -(targets * F.log_softmax(logits, dim=1)).sum(1)
