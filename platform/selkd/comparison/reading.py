"""The runs of an experiment, of which MLflow is asked only for those that changed since the last time."""

import time
from collections.abc import Callable
from pathlib import Path

from selkd.comparison.snapshot import Snapshot, joined, load, save, table_of
from selkd.files import fingerprint
from selkd.tracking.runs import Experiment, Runs

SLACK = 900.0
"""Seconds by which clocks of readers and writers may differ, and what a delivery may take."""

Watch = Callable[[int, int | None], None]
"""Told how many runs of a study were read, and of how many, where that is known."""


def read_runs(server: Runs, experiment: Experiment, cache: Path, fresh: bool, watch: Watch) -> Snapshot:
    """Every run of an experiment: a row for each active one (`snapshot.table_of`), and the deleted ones."""
    origin = {"mlflow": server.place, "experiment": experiment.id, "created": experiment.created}
    path = cache / f"{fingerprint(origin)[:24]}.runs"
    known = None if fresh else load(path, origin)
    now = time.time()
    if known is None:
        snapshot = _everything(server, experiment, now, watch)
    else:
        snapshot = _changes(server, experiment, known, now)
        watch(snapshot.table.num_rows, snapshot.table.num_rows)
    if known is None or snapshot.read_at > known.read_at:
        save(path, origin, snapshot)
    return snapshot


def _everything(server: Runs, experiment: Experiment, now: float, watch: Watch) -> Snapshot:
    tables, done = [table_of([])], 0
    for page in server.everything(experiment):
        tables.append(table_of(page))
        done += len(page)
        watch(done, None)
    watch(done, done)
    return Snapshot(joined(tables), server.deleted(experiment), now)


def _changes(server: Runs, experiment: Experiment, known: Snapshot, now: float) -> Snapshot:
    """MLflow has no "changed since". What may have changed: runs that arrived or ended since, runs that have not ended,
    the study's own run, deleted runs; and those that are no longer among the unfinished or the deleted."""
    found = server.running(experiment) + server.changed(experiment, known.read_at - SLACK)
    deleted = server.deleted(experiment)
    asked = (known.unfinished | {*known.deleted}) - {run.id for run in found} - {*deleted}
    found += server.named(experiment, asked)
    gone = {*deleted} | asked - {run.id for run in found}
    table = known.replaced([*server.study(experiment), *found], gone)
    nothing_new = not found and deleted == known.deleted
    return Snapshot(table, deleted, known.read_at if nothing_new else now)
