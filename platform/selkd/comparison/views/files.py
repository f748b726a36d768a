"""What finished students left in files, as frames."""

from pathlib import Path

import numpy as np
import pandas as pd

from selkd.comparison.records import Records
from selkd.data.tasks import NOT_SELECTED

SCORE = "score/"


def parquet(records: Records, run: str, path: str) -> pd.DataFrame | None:
    """A table of a run; nothing where the run has none."""
    found: Path | None = records.artifact(run, path)
    return None if found is None else pd.read_parquet(found)


def answers(records: Records, run: str) -> pd.DataFrame | None:
    """The student's answers on test: row, label, prediction, the teacher's answer where it is known, and scores."""
    return parquet(records, run, "predictions-test.parquet")


def scores(predictions: pd.DataFrame) -> tuple[np.ndarray, list[str], bool]:
    """Logits [N, o], the names of the selected categories, and whether the task is open (one more column)."""
    columns = [str(name) for name in predictions if str(name).startswith(SCORE)]
    names = [name.removeprefix(SCORE) for name in columns]
    is_open = names[-1:] == [NOT_SELECTED]
    return predictions[columns].to_numpy(dtype=float), names[:-1] if is_open else names, is_open
