"""Which runs cannot be compared, and why: each is named, none is dropped in silence."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from selkd.comparison.frames import texts

REMEDY = "`selkd sync` delivers what its workspace holds"
WORDS = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "stopped"}
"""MLflow's words for how a run stands, in selkd's; all others are running."""
DELETED = "deleted in MLflow"
STUDY_RUN = "study "
"""What the key of a study's own run begins with."""
Why = Sequence[str | None]


def reasons(table: pa.Table) -> Why:
    """Why each run of a table is not compared, None for those that are."""
    status = [WORDS.get(word, "running") for word in texts(table, "status")]
    found = [
        _reason(*row)
        for row in zip(
            texts(table, "tag:selkd.trial"),
            status,
            texts(table, "tag:selkd.status"),
            texts(table, "tag:selkd.reason"),
            _any(table, "param:"),
            _any(table, "metric:test/"),
            strict=True,
        )
    ]
    for row, kept in _doubles(table, found).items():
        found[row] = f"a duplicate: run {kept} of the same trial ended later"
    return found


def excluded(table: pa.Table, why: Why) -> pd.DataFrame:
    """Study, key, run and reason of every run that has a reason; the studies' own runs are no trials."""
    columns = (
        texts(table, "study"),
        texts(table, "tag:selkd.trial"),
        texts(table, "run"),
        why,
        texts(table, "tag:selkd.kind"),
    )
    left = [row[:4] for row in zip(*columns, strict=True) if row[3] is not None and row[4] != "study"]
    return pd.DataFrame(left, columns=["study", "key", "run", "reason"], dtype=object)


def deleted(table: pa.Table, gone: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """Deleted runs, by study, of trials that have no other run; the same columns."""
    active = {*zip(texts(table, "study"), texts(table, "tag:selkd.trial"), strict=True)}
    rows = [
        (study, key, run, DELETED)
        for study, runs in gone.items()
        for run, key in runs.items()
        if key and not key.startswith(STUDY_RUN) and (study, key) not in active
    ]
    return pd.DataFrame(rows, columns=["study", "key", "run", "reason"], dtype=object)


def _reason(
    key: str | None, status: str, said: str | None, because: str | None, configured: bool, scored: bool
) -> str | None:
    """`status` is MLflow's, which has one word for all that ended early; `said` is what the trial's record says."""
    if key is None:
        return "not a run of selkd"
    if status == "running":
        return "still running"
    if status != "finished":
        word = "pruned" if status == "stopped" and said == "pruned" else status
        return f"{word}: {because}" if because else word
    if not configured:
        return f"half-written: it finished, but its configuration is missing; {REMEDY}"
    if not scored:
        return f"half-written: it finished, but its final metrics are missing; {REMEDY}"
    return None


def _any(table: pa.Table, prefix: str) -> np.ndarray:
    """Which runs have something in any of the columns of this prefix."""
    found = np.zeros(table.num_rows, dtype=bool)
    for name in table.column_names:
        if name.startswith(prefix):
            found |= table[name].is_valid().to_numpy()
    return found


def _doubles(table: pa.Table, why: Why) -> dict[int, str]:
    """Rows of a trial that has another run that ended later, with that run."""
    run, ended = texts(table, "run"), texts(table, "ended")
    trial = list(zip(texts(table, "study"), texts(table, "tag:selkd.trial"), strict=True))
    rows = [row for row, reason in enumerate(why) if reason is None]
    rows.sort(key=lambda row: (ended[row] or 0, run[row]))
    latest = {trial[row]: row for row in rows}
    return {row: run[latest[trial[row]]] for row in rows if latest[trial[row]] != row}
