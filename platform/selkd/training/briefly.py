"""A student trained for a few updates by cross-entropy alone, to be asked and forgotten."""

from torch import Tensor

from selkd.config import RunConfig, Workspace
from selkd.data import Part, TaskView
from selkd.training.workers import Workers


def answers_of(config: RunConfig, workspace: Workspace, task: TaskView, part: Part, steps: int) -> Tensor:
    """Its logits [n, o] over a part."""
    from selkd.training.loop import predict  # what trains a student is above what prepares one
    from selkd.training.run import fit

    tree = config.model_dump(mode="json")
    tree |= {"objective": "cross-entropy", "teacher": None, "selection": {}, "semantics": "names"}
    tree["task"] = {"categories": list(task.names), "mode": task.mode}
    tree["training"] |= {"epochs": None, "steps": steps, "keep": "last"}
    tree["workers"] |= {"count": 1}
    setup, student = fit(RunConfig.model_validate(tree), workspace, Workers(), lambda _: None, keep=False)
    return predict(student, part, setup.device, setup.dtype, Workers())
