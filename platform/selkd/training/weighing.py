"""Weighing the terms of a batch: what the weighting is told of its rows, and what is noted of its answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from selkd.objectives import View
from selkd.objectives.kd import restrict
from selkd.training.batches import Batch
from selkd.training.ratios import Ratios
from selkd.training.workers import Workers
from selkd.weighting import Moment, Weighting

if TYPE_CHECKING:
    import pandas as pd


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
        self,
        policy: Weighting,
        ids: Tensor,
        *,
        merge: bool,
        total_steps: int,
        kinds: Tensor | None = None,
        carried: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        """`carried` gives the answers of teachers of other categories as answers over the task's."""
        self.policy, self.ids, self.total_steps = policy, ids, total_steps
        self.over_the_task = carried or partial(restrict, ids=ids, merge=merge)
        self.ratios = Ratios(kinds, policy.bounds)

    def weights(self, compared: Compared) -> Mapping[str, Tensor]:
        """Weights [b] by term, with gradient to the policy's parameters; a term that is not named keeps its own."""
        return self.policy.weights(self._moment(compared))

    def loss(self, compared: Compared) -> Tensor:
        """This worker's sum of weighed losses; no gradient goes to the policy."""
        moment = self._moment(compared)
        with torch.no_grad():
            weights = self.policy.weights(moment)
            believed = self.policy.believed(moment, weights)
        terms = compared.terms.items()
        losses = [compared.constants[n] * (t * weights[n] if n in weights else t).sum() for n, t in terms]
        loss = torch.stack(losses).sum()
        self.ratios.add(moment, believed, loss.detach())
        return loss

    def teacher(self, batch: Batch) -> Tensor | None:
        """The logits [b, K] that the objective learns from: the teacher's, or those of the student as it began."""
        if batch.begun is None or batch.teacher is None:
            return batch.teacher
        dtype = torch.promote_types(batch.begun.dtype, torch.float32)
        teacher, begun = batch.teacher.to(dtype), batch.begun.to(dtype)
        own = self.over_the_task(teacher)
        followed = self.policy.follows(own.softmax(1), begun.softmax(1), batch.targets.to(dtype))
        return torch.where(followed[:, None], teacher, widened(begun, self.ids, teacher.shape[1]))

    def _moment(self, compared: Compared) -> Moment:
        view, batch = compared.view, compared.batch
        assert batch.teacher is not None, "terms are weighed where there is a teacher"
        student = view.student.detach()
        student = student.to(torch.promote_types(student.dtype, torch.float32))
        teacher = self.over_the_task(batch.teacher.detach().to(student.dtype))
        targets = view.targets.to(student.dtype)
        begun = None if batch.begun is None else batch.begun.to(student.dtype)
        return Moment(student, teacher, targets, batch.ids, batch.step, batch.step / self.total_steps, begun)

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

    def noted(self) -> dict[str, Any]:
        """What was noted of an epoch that is not over: for a checkpoint within it."""
        return self.ratios.noted()

    def reopen(self, noted: dict[str, Any], device: torch.device) -> None:
        """Go on with the epoch that a checkpoint was taken in."""
        self.ratios.reopen(noted, device)

    def frame(self) -> "pd.DataFrame":
        """How the ratios of every epoch were spread."""
        return self.ratios.frame()


def widened(student: Tensor, ids: Tensor, categories: int) -> Tensor:
    """A student's logits [b, o] as those of a teacher [b, K]: `restrict` gives them back at any temperature.

    What it says of "not selected" it says of one category that is not, and nothing of the others.
    """
    ids = ids.to(student.device)
    others = sorted(set(range(categories)) - set(ids.tolist()))
    places = torch.cat([ids, ids.new_tensor(others[: student.shape[1] - len(ids)])])
    return student.new_full((len(student), categories), -torch.inf).index_copy(1, places, student)
