"""Selective knowledge distillation: train small students for some of a teacher's categories.

`selkd.train(config)` and friends do what the commands do; configurations are mappings, YAML files or typed models.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selkd.arrays import from_arrays
    from selkd.cluster.job import Job
    from selkd.cluster.submission import Submission, submit
    from selkd.comparison.compare import Comparison, compare
    from selkd.comparison.report import report
    from selkd.config import RunConfig, Workspace
    from selkd.data import Dataset, Task, load
    from selkd.errors import UserError
    from selkd.judging import Judgement, judge
    from selkd.pools import Pool, train_pool
    from selkd.promotion import Promoted, promote
    from selkd.ranking import Ranking, rank
    from selkd.reproduction import Reproduction, reproduce
    from selkd.students import Evaluated, evaluate, export, predict
    from selkd.sweeps.run import sweep
    from selkd.sweeps.space import SearchSpace
    from selkd.sweeps.studies import Study
    from selkd.tracking.courier import sync
    from selkd.training.run import Trained, train
    from selkd.training.teach import import_teacher, teach

_HOMES = {
    "Comparison": "comparison.compare",
    "compare": "comparison.compare",
    "report": "comparison.report",
    "RunConfig": "config",
    "Workspace": "config",
    "Dataset": "data",
    "Task": "data",
    "from_arrays": "arrays",
    "Job": "cluster.job",
    "Submission": "cluster.submission",
    "submit": "cluster.submission",
    "load": "data",
    "UserError": "errors",
    "Evaluated": "students",
    "evaluate": "students",
    "export": "students",
    "predict": "students",
    "Judgement": "judging",
    "judge": "judging",
    "Pool": "pools",
    "train_pool": "pools",
    "Promoted": "promotion",
    "promote": "promotion",
    "Ranking": "ranking",
    "rank": "ranking",
    "Reproduction": "reproduction",
    "reproduce": "reproduction",
    "sweep": "sweeps.run",
    "SearchSpace": "sweeps.space",
    "Study": "sweeps.studies",
    "sync": "tracking.courier",
    "Trained": "training.run",
    "train": "training.run",
    "import_teacher": "training.teach",
    "teach": "training.teach",
}

__all__ = [
    "Comparison", "Dataset", "Evaluated", "Job", "Judgement", "Pool", "Promoted", "Ranking", "Reproduction",
    "RunConfig", "SearchSpace", "Study", "Submission", "Task", "Trained", "UserError", "Workspace", "compare",
    "evaluate", "export", "from_arrays", "import_teacher", "judge", "load", "predict", "promote", "rank",
    "report", "reproduce", "submit", "sweep", "sync", "teach", "train", "train_pool",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Loaded when first used, so that `import selkd` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'selkd' has no attribute {name!r}")
    return getattr(import_module(f"selkd.{_HOMES[name]}"), name)
