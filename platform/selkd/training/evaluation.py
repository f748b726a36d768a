"""What a finished student is asked: validation first, then the test split, once."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn

from selkd.data import Part, TaskView
from selkd.models import cost
from selkd.training import metrics
from selkd.training.loop import predict
from selkd.training.setup import Setup

if TYPE_CHECKING:
    import pandas as pd

SCORES = {"closed": "accuracy", "open": "balanced"}
"""The metric that chooses the best epoch, by mode."""


@dataclass(frozen=True)
class Scored:
    """Logits of a student, or of its teacher restricted to the task, over the rows of one part."""

    logits: Tensor  # [N, o]
    labels: Tensor  # [N]
    ids: Tensor  # [N] row numbers in the source
    task: TaskView

    def metrics(self, threshold: float | None = None) -> dict[str, float]:
        if self.task.mode == "closed":
            return metrics.closed_metrics(self.logits, self.labels, self.task.names)
        return metrics.open_metrics(self.logits, self.labels, self.task.names, threshold)

    def threshold(self) -> float | None:
        """The rejection threshold that these rows suggest (open tasks)."""
        return None if self.task.mode == "closed" else metrics.rejection_threshold(self.logits, self.labels)

    def confusion(self) -> np.ndarray:
        return np.asarray(metrics.confusion(self.logits.argmax(1), self.labels, self.task.outputs))

    def frame(self, taught: "Scored | None" = None) -> "pd.DataFrame":
        """One line a row: its number, its label, the answer, that of the teacher on the same rows, and the logits."""
        import pandas as pd

        names = np.asarray(self.task.output_names, dtype=object)
        teacher = {} if taught is None else {"teacher": names[taught.logits.argmax(1).numpy()]}
        logits = {f"score/{name}": column for name, column in zip(names, self.logits.double().numpy().T, strict=True)}
        return pd.DataFrame(
            {
                "row": self.ids.numpy(),
                "label": names[self.labels.numpy()],
                "prediction": names[self.logits.argmax(1).numpy()],
                **teacher,
                **logits,
            }
        )


def scored(setup: Setup, model: nn.Module, part: Part) -> Scored:
    """The student's answers to the task's rows of a part."""
    rows = setup.task.part(part)
    logits = predict(model, rows, setup.device, setup.dtype, setup.workers)
    return Scored(logits, setup.task.labels(rows.labels), rows.ids, setup.task)


def scored_teacher(setup: Setup, name: str) -> Scored:
    """The teacher's answers when it is restricted to the task."""
    part = getattr(setup.splits, name)
    kept = setup.task.keeps(part.labels)
    return Scored(setup.taught(name)[kept], setup.task.labels(part.labels[kept]), part.ids[kept], setup.task)


def probe(setup: Setup, model: nn.Module, rows: int = 128) -> "pd.DataFrame":
    """Scores of student and teacher on one fixed batch: the first validation rows, the same for every student."""
    import pandas as pd

    part = setup.splits.validation
    batch = Part(part.rows, part.index[:rows])
    logits = predict(model, batch, setup.device, setup.dtype, setup.workers)
    columns = {f"student/{n}": c for n, c in zip(setup.task.output_names, logits.double().numpy().T, strict=True)}
    if setup.teacher is not None:
        taught = np.asarray(setup.evidence("validation")["logits"][0][: len(batch)], dtype=np.float64)
        columns |= {f"teacher/{n}": c for n, c in zip(setup.dataset.categories, taught.T, strict=True)}
    names = np.asarray(setup.dataset.categories, dtype=object)
    return pd.DataFrame({"row": batch.ids.numpy(), "label": names[batch.labels.numpy()], **columns})


def costs(setup: Setup, model: nn.Module) -> dict[str, float]:
    """Parameters, multiply-adds and latency of one row."""
    shape = setup.dataset.train.shape
    return {
        "cost/parameters": float(cost.parameters(model)),
        "cost/multiply_adds": float(cost.multiply_adds(model, shape)),
        "cost/latency_ms": 1000 * cost.latency(model, shape, setup.device),
    }
