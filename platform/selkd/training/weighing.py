"""Weighing the terms of a batch: what the weighting is told of its rows, and what is noted of its answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from selkd.objectives import View
from selkd.objectives.kd import restrict
from selkd.training.batches import Batch
from selkd.training.ratios import Ratios
from selkd.training.workers import Workers
from selkd.weighting import Moment, Weighting


@dataclass(frozen=True)
class Compared:
    """A batch after student and teacher answered."""

    batch: Batch
    view: View
    terms: Mapping[str, Tensor]  # [b] losses, as the sample policy weighs them
    constants: Mapping[str, float]  # the objective's weight of each term
    rows: int  # of the whole update, over all workers


class Weighing:
    """A weighting at work in a run: the same for every worker's rows as for one worker's."""

    def __init__(
        self, policy: Weighting, ids: Tensor, *, merge: bool, total_steps: int, kinds: Tensor | None = None
    ) -> None:
        self.policy, self.ids, self.merge, self.total_steps = policy, ids, merge, total_steps
        self.ratios = Ratios(kinds)

    def weights(self, compared: Compared) -> Mapping[str, Tensor]:
        """Weights [b] by term, with gradient to the policy's parameters; a term that is not named keeps its own."""
        return self.policy.weights(self._moment(compared))

    def loss(self, compared: Compared) -> Tensor:
        """This worker's sum of weighed losses; no gradient goes to the policy."""
        moment = self._moment(compared)
        with torch.no_grad():
            weights = self.policy.weights(moment)
        terms = compared.terms.items()
        losses = [compared.constants[n] * (t * weights[n] if n in weights else t).sum() for n, t in terms]
        loss = torch.stack(losses).sum()
        self.ratios.add(moment, weights["teacher"], loss.detach())
        return loss

    def _moment(self, compared: Compared) -> Moment:
        view, step = compared.view, compared.batch.step
        assert view.teacher is not None, "terms are weighed where there is a teacher"
        student = view.student.detach()
        student = student.to(torch.promote_types(student.dtype, torch.float32))
        teacher = restrict(view.teacher.detach().to(student.dtype), self.ids, self.merge)
        targets = view.targets.to(student.dtype)
        return Moment(student, teacher, targets, compared.batch.ids, step, step / self.total_steps)

    def close(self, workers: Workers) -> dict[str, float]:
        """End an epoch: what is logged of it."""
        return self.ratios.close(workers, self.policy.settings.needs_outer)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"policy": self.policy.state_dict(), "ratios": self.ratios.counts}

    def load(self, state: dict[str, Any]) -> None:
        """Go on where a checkpoint was taken."""
        self.policy.load_state_dict(state["policy"])
        self.ratios.counts = state["ratios"]

    def frame(self) -> pd.DataFrame:
        """How the ratios of every epoch were spread."""
        return self.ratios.frame()
