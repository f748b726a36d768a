"""Every trial of some studies, as MLflow tells it: what the statistics, the views and the report are made from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

Watch = Callable[[int, int | None], None]
"""Told how many runs were read, and of how many, where that is known."""


@dataclass(frozen=True)
class StudyInfo:
    """What is known of a study beyond its trials."""

    name: str
    run_id: str | None  # none where the experiment holds no run of a study, as with plain `selkd train`
    link: str
    status: str  # finished, running, stopped; unknown without a run
    metrics: Mapping[str, str]  # what it searches by: name to maximise or minimise
    searched: tuple[str, ...]  # the keys that it varies
    comparison: Mapping[str, Any] | None  # the plan that was declared beforehand


@dataclass(frozen=True)
class Records:
    """Every trial that can be compared, in four frames with one index, the run id; and what was left out, and why.

    trials: study, key, name, candidate (Int64), role (student, twin), status, seed (Int64), began, ended (UTC),
    categories (the names, joined by ", ") and link.
    config: a column a dotted key. Columns of numbers or of truth values alone are typed as such; others hold objects,
    None for a null and NaN where the run has no such key. Lists are tuples.
    metrics: a column a name, NaN where it is missing or no number.
    provenance: a column a dotted name below selkd.provenance.
    excluded: study, key, run, reason.
    """

    trials: pd.DataFrame
    config: pd.DataFrame
    metrics: pd.DataFrame
    provenance: pd.DataFrame
    studies: Mapping[str, StudyInfo]
    excluded: pd.DataFrame
    fetch: Callable[[str, str], Path | None] = lambda run, path: None

    def artifact(self, run: str, path: str) -> Path | None:
        """A file of a run, fetched once; nothing where the run has none."""
        return self.fetch(run, path)

    def history(self, run: str) -> pd.DataFrame:
        """Metrics by step, from the run's ledger."""
        raise NotImplementedError


def read_records(
    studies: Sequence[str],
    uri: str,
    cache: Path,
    *,
    fresh: bool = False,
    watch: Watch = lambda done, total: None,
) -> Records:
    """Every run of the experiments of these names; `cache` is a folder that makes the next reading quick."""
    raise NotImplementedError
