"""Rounds: a sample policy's rates made exact counts epoch by epoch, and what the policy learns in between.

Shapes: n training rows of the task, o outputs of the student.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from selkd.data import draws
from selkd.selection import RowEvidence, SamplePolicy
from selkd.selection.samples.budget import systematic

if TYPE_CHECKING:
    import pandas as pd


class Rounds:
    """The rows of every epoch. A function of the seed, the policy's state and the round."""

    def __init__(self, policy: SamplePolicy, evidence: RowEvidence, budget: int, seed: int) -> None:
        self.policy, self.evidence, self.budget, self.seed = policy, evidence, budget, seed
        self.used = torch.zeros(len(evidence), dtype=torch.int64)  # how often each row was trained on
        self.by_output = torch.zeros(0, evidence.outputs, dtype=torch.int64)  # rows [rounds, o] that each epoch used
        self.scored = 0  # forward passes spent on what the policy learns
        self._drawn: tuple[int, Tensor] | None = None

    def expected(self) -> Tensor:
        """Expected rows [o] of every output in the first epoch."""
        found = torch.zeros(self.evidence.outputs, dtype=torch.float64)
        return found.index_add_(0, self.evidence.labels, self._rates(0))

    def rows(self, round: int) -> Tensor:
        """The rows [budget] of an epoch in the order of training; a row may come more than once."""
        if self._drawn is None or self._drawn[0] != round:
            counts = self._counts(round)
            rows = torch.arange(len(counts)).repeat_interleave(counts)
            self._drawn = round, rows[draws.permutation(self.seed, round, self.budget, "order")]
        return self._drawn[1]

    def _counts(self, round: int) -> Tensor:
        """Systematic sampling, categories one after the other, each in a random order of its rows.

        So the rows that an epoch uses of a category are what its rates sum to, rounded up or down.
        """
        rates = self._rates(round)
        luck = draws.uniform(self.seed, round, self.evidence.ids, "systematic order", dtype=torch.float64)
        start = draws.uniform(self.seed, round, torch.zeros(1), "systematic start", dtype=torch.float64)
        order = luck.flatten().argsort(stable=True)
        order = order[self.evidence.labels[order].argsort(stable=True)]
        return torch.empty_like(order).scatter_(0, order, systematic(rates[order], float(start)))

    def _rates(self, round: int) -> Tensor:
        return self.policy.rates(self.evidence, self.budget, self.seed, round).double()

    def spent(self, round: int, count: int) -> None:
        """Note that the first `count` rows of the round were trained on."""
        rows = self.rows(round)[:count]
        self.used += torch.bincount(rows, minlength=len(self.used))
        by_output = torch.bincount(self.evidence.labels[rows], minlength=self.evidence.outputs)
        self.by_output = torch.cat([self.by_output, by_output[None]])

    def learn(self, round: int, answers: Callable[[Tensor], Tensor]) -> None:
        """Let the policy learn from the student's logits, which `answers` gives of the rows it is asked for."""
        rows = self.policy.asks(self.evidence, self.seed, round)
        if rows is not None:
            self.scored += len(rows)
            self.policy.learn(self.evidence, rows, answers(rows), round)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"policy": self.policy.state, "used": self.used, "by_output": self.by_output, "scored": self.scored}

    def load(self, state: dict[str, Any]) -> None:
        """Go on where a checkpoint was taken."""
        self.policy.state = dict(state["policy"])
        self.used, self.by_output, self.scored = state["used"], state["by_output"], state["scored"]
        self._drawn = None

    def costs(self) -> dict[str, float]:
        """What the student's training took, in rows: gradients, and forward passes for scoring."""
        return {"cost/row_gradients": float(self.used.sum()), "cost/rows_scored": float(self.scored)}

    def frame(self, names: Sequence[str]) -> "pd.DataFrame":
        """How often each training row of the task was used; `names` are those of the outputs."""
        import pandas as pd

        labels = [names[label] for label in self.evidence.labels.tolist()]
        return pd.DataFrame({"row": self.evidence.ids.numpy(), "label": labels, "used": self.used.numpy()})

    def report(self) -> dict[str, Any]:
        """What was spent on which rows."""
        return {
            "rows": len(self.used),
            "rows_per_epoch": self.budget,
            "row_gradients": int(self.used.sum()),
            "rows_used": int((self.used > 0).sum()),
            "rows_scored": self.scored,
            "rows_per_output_and_epoch": self.by_output.tolist(),
        }
