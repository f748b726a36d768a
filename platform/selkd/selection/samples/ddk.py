"""DDK: more rows from the categories on which the student is furthest behind its teacher."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from selkd.selection.samples.base import RowEvidence, SamplePolicy, SampleSettings, register
from selkd.selection.samples.plain import luck
from selkd.selection.samples.ranking import places

LARGEST_RATIO = 50.0  # exp of it is finite in every precision that trains


class DDKSettings(SampleSettings):
    """Settings of `ddk`."""

    alpha: float = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="How far shares may leave the uniform one: a category keeps (1 - alpha) / categories at least.",
        json_schema_extra={"search": [0.0, 0.95]},
    )
    ratio: Literal["perplexity", "difference", "accuracy"] = Field(
        default="perplexity",
        description="How far behind a category is: ratio of perplexities, difference of cross-entropies, or of "
        "accuracies.",
        json_schema_extra={"search": ["perplexity", "difference", "accuracy"]},
    )
    every: int = Field(default=1, ge=1, description="Epochs between two updates of the shares.")
    held_out: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="Share of every category's training rows that measures instead of training.",
    )

    @property
    def needs_teacher(self) -> bool:
        return True


@register
class DDK(SamplePolicy):
    """Shares of the categories follow the gap between student and teacher on held-out training rows (Liu et al. 2024).

    Shares begin uniform, since the student is untrained; a category too small to be measured keeps its share. Within
    a category rows are used alike, repeatedly if needed.
    """

    name: ClassVar[str] = "ddk"
    Settings = DDKSettings
    settings: DDKSettings

    def rates(self, evidence: RowEvidence, budget: int, seed: int, round: int) -> Tensor:
        trains = ~held_out(luck(evidence, seed), evidence.labels, self.settings.held_out)
        rows = torch.bincount(evidence.labels[trains], minlength=evidence.outputs)
        shares = self.state.get("shares", (rows > 0).double()) * (rows > 0)
        by_row = (shares / rows.clamp(min=1))[evidence.labels] * trains
        return by_row * (budget / by_row.sum())

    def asks(self, evidence: RowEvidence, seed: int, round: int) -> Tensor | None:
        if (round + 1) % self.settings.every:
            return None
        return held_out(luck(evidence, seed), evidence.labels, self.settings.held_out).nonzero().flatten()

    def learn(self, evidence: RowEvidence, rows: Tensor, logits: Tensor, round: int) -> None:
        labels = evidence.labels[rows]
        student, teacher = (self._by_category(z, labels, evidence.outputs) for z in (logits, evidence.teacher[rows]))
        gap = student - teacher
        measured = gap.isfinite()
        ratio = gap.exp() if self.settings.ratio == "perplexity" else gap
        present = (evidence.counts > 0).double()
        shares = self.state.get("shares", present / present.sum()).clone()
        shares[measured] = updated(shares[measured], ratio[measured], self.settings.alpha)
        self.state["shares"] = shares

    def _by_category(self, logits: Tensor, labels: Tensor, outputs: int) -> Tensor:
        """Mean cross-entropy, or error, of every category [o]; NaN where there is no row."""
        if self.settings.ratio == "accuracy":
            loss = (logits.argmax(1) != labels).double()
        else:
            loss = F.cross_entropy(logits.double(), labels, reduction="none")
        total = torch.zeros(outputs, dtype=torch.float64).index_add_(0, labels, loss)
        return total / torch.bincount(labels, minlength=outputs)


def updated(shares: Tensor, ratio: Tensor, alpha: float) -> Tensor:
    """(alpha r e^ratio / sum(r e^ratio) + (1 - alpha) / n) of n categories, scaled to the sum of their shares r."""
    pulled = (shares.log() + ratio.clamp(max=LARGEST_RATIO)).softmax(0)
    return shares.sum() * (alpha * pulled + (1 - alpha) / len(shares))


def held_out(luck: Tensor, labels: Tensor, share: float) -> Tensor:
    """Which rows [n] measure: of every category the `share` with the smallest luck, one at least and never all."""
    order = luck.argsort(stable=True)
    mine = labels[order]
    sizes = torch.bincount(labels)
    wanted = torch.minimum((share * sizes).round().clamp(min=1), sizes - 1)
    return torch.zeros(len(labels), dtype=torch.bool).index_fill_(0, order[places(mine) < wanted[mine]], True)
