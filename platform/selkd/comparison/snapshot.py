"""The runs of one experiment as they were read last: a table in memory, and a file that is whole or worth nothing."""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selkd.errors import CannotWrite
from selkd.files import write_bytes
from selkd.tracking.runs import Run

log = logging.getLogger(__name__)

FORMAT = 2
SEAL = 32
"""Bytes at the file's end: the SHA-256 of all others. Parquet alone does not notice every change of a byte."""
ENDED = ("FINISHED", "FAILED", "KILLED")
_ABOUT = b"selkd"

Origin = Mapping[str, Any]
"""Which experiment of which MLflow a snapshot is of."""


@dataclass(frozen=True)
class Snapshot:
    """Active runs, a row each; the deleted ones, with their trials' keys; and when they were read."""

    table: pa.Table
    deleted: Mapping[str, str]
    read_at: float  # Unix seconds by the reader's clock, before it asked

    @property
    def unfinished(self) -> set[str]:
        """Runs that had not ended."""
        states = zip(self.table["run"].to_pylist(), self.table["status"].to_pylist(), strict=True)
        return {run for run, status in states if status not in ENDED}

    def replaced(self, runs: Iterable[Run], gone: set[str]) -> pa.Table:
        """The table with these runs as they are now, and without those that are gone."""
        latest = {run.id: run for run in runs if run.id not in gone}
        kept = [run not in latest and run not in gone for run in self.table["run"].to_pylist()]
        return joined([self.table.filter(pa.array(kept, pa.bool_())), table_of(list(latest.values()))])


def table_of(runs: Sequence[Run]) -> pa.Table:
    """A row a run: `param:KEY`, `tag:KEY` and `metric:NAME` beside the run's own columns; tags of others are left."""
    rows = [_row(run) for run in runs]
    kinds = {"began": pa.int64(), "ended": pa.int64()}
    names = dict.fromkeys(("run", "name", "status", "began", "ended"))
    for row in rows:
        names |= dict.fromkeys(row)
    return pa.table(
        {
            name: pa.array(
                [row.get(name) for row in rows],
                kinds.get(name, pa.float64() if name.startswith("metric:") else pa.string()),
            )
            for name in names
        }
    )


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables one after the other; a column that one of them lacks is empty there."""
    return pa.concat_tables(tables, promote_options="default")


def load(path: Path, origin: Origin) -> Snapshot | None:
    """The snapshot in a file; nothing when there is none, or when it is damaged or that of another experiment."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    body, seal = content[:-SEAL], content[-SEAL:]
    if hashlib.sha256(body).digest() != seal:
        log.warning("%s: damaged; everything is read from MLflow again", path)
        return None
    table = pq.read_table(pa.BufferReader(body))
    about = json.loads((table.schema.metadata or {})[_ABOUT])
    if about["format"] != FORMAT or about["origin"] != dict(origin):
        return None
    return Snapshot(table.replace_schema_metadata(), about["deleted"], about["read_at"])


def save(path: Path, origin: Origin, snapshot: Snapshot) -> None:
    """Keep a snapshot for the next reading; where that cannot be, it is said, and nothing else is lost."""
    about = {
        "format": FORMAT,
        "origin": dict(origin),
        "deleted": dict(sorted(snapshot.deleted.items())),
        "read_at": snapshot.read_at,
    }
    sink = pa.BufferOutputStream()
    table = snapshot.table.replace_schema_metadata({_ABOUT: json.dumps(about).encode()})
    pq.write_table(table, sink, compression="zstd")
    body = sink.getvalue().to_pybytes()
    try:
        write_bytes(path, body + hashlib.sha256(body).digest())
    except CannotWrite as error:
        log.warning("without a cache, the next reading is as slow as this one: %s", error)


def _row(run: Run) -> dict[str, Any]:
    row: dict[str, Any] = {
        "run": run.id,
        "name": run.name,
        "status": run.status,
        "began": run.began,
        "ended": run.ended,
    }
    row |= {f"param:{key}": value for key, value in run.params.items()}
    row |= {f"tag:{key}": value for key, value in run.tags.items() if key.startswith("selkd.")}
    return row | {f"metric:{name}": float(value) for name, value in run.metrics.items()}
