"""Data: sources by name, splits, tasks, and what is drawn or stored about their rows."""

from selkd.data.dataset import Dataset, Part, Rows, Splits
from selkd.data.fetch import fetch
from selkd.data.sources import load
from selkd.data.sources.arrays import from_arrays
from selkd.data.splits import split
from selkd.data.tasks import Task, TaskView

__all__ = ["Dataset", "Part", "Rows", "Splits", "Task", "TaskView", "fetch", "from_arrays", "load", "split"]
