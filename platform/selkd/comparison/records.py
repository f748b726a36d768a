"""Every trial of some studies, as MLflow tells it: what the statistics, the views and the report are made from."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from selkd.comparison.excluded import WORDS, deleted, excluded, reasons
from selkd.comparison.frames import Frames, frames, texts
from selkd.comparison.reading import Watch, read_runs
from selkd.comparison.snapshot import joined
from selkd.config.load import read
from selkd.errors import UserError
from selkd.tracking.names import FINISHED
from selkd.tracking.record import LEDGER, TrialRecord
from selkd.tracking.runs import Experiment, Runs
from selkd.tracking.study import SPACE


@dataclass(frozen=True)
class StudyInfo:
    """What is known of a study beyond its trials."""

    name: str
    run_id: str | None  # none where the experiment holds no run of a study, as with plain `selkd train`
    link: str
    status: str  # finished, running, stopped or failed; unknown without a run
    metrics: Mapping[str, str]  # what it searches by: name to maximise or minimise
    searched: tuple[str, ...]  # the keys that it varies
    comparison: Mapping[str, Any] | None  # the plan that was declared beforehand
    changed: bool = False  # whether its search space was changed after it had begun
    extended: bool = False  # whether candidates got more seeds after it had ended
    absent: int = 0  # finished trials, as its ledger says, of which MLflow has no finished run


@dataclass(frozen=True)
class Records:
    """Every trial that can be compared, in four frames with one index, the run id; and what was left out, and why.

    trials: study, key, name, candidate (Int64), role (student, twin), status, seed (Int64), began, ended (UTC),
    categories (the names, joined by ", ") and link.
    config: a column a dotted key. Columns of numbers or of truth values alone are typed as such; others hold objects,
    None for a null and NaN where the run has no such key. Lists are tuples.
    metrics: a column a name, NaN where it is missing or no number.
    provenance: a column a dotted name below selkd.provenance, all of it text.
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
        """Metrics by step: a row a step, a column a name; empty where the run's ledger is missing."""
        ledger = self.artifact(run, LEDGER)
        return pd.DataFrame() if ledger is None else TrialRecord(ledger.parent).history()


def read_records(
    studies: Sequence[str],
    uri: str,
    cache: Path,
    *,
    fresh: bool = False,
    watch: Watch = lambda done, total: None,
) -> Records:
    """Every run of the experiments of these names; `cache` is a folder that makes the next reading quick.

    With `fresh`, nothing that was read before is used.
    """
    if not studies:
        raise UserError("no study is named. `selkd studies` lists those of the workspace.")
    server = Runs(uri)
    experiments = [server.experiment(name) for name in dict.fromkeys(studies)]
    snapshots = [read_runs(server, experiment, cache, fresh, watch) for experiment in experiments]
    tables = [_placed(server, e, snapshot.table) for e, snapshot in zip(experiments, snapshots, strict=True)]
    table = joined(tables)
    why = reasons(table)
    found = frames(table.filter(pa.array([reason is None for reason in why], pa.bool_())))
    ended = dict(zip(table["run"].to_pylist(), table["ended"].to_pylist(), strict=True))

    def fetch(run: str, path: str) -> Path | None:
        return server.file(run, path, cache / "files" / run / str(ended[run]) / path)

    infos = {
        e.name: _info(server, e, own, found, fetch, len(snapshot.deleted))
        for e, own, snapshot in zip(experiments, tables, snapshots, strict=True)
    }
    gone = deleted(table, {e.name: one.deleted for e, one in zip(experiments, snapshots, strict=True)})
    return Records(*found, infos, pd.concat([excluded(table, why), gone], ignore_index=True), fetch)


def _placed(server: Runs, experiment: Experiment, table: pa.Table) -> pa.Table:
    links = [server.link(experiment, run) for run in table["run"].to_pylist()]
    table = table.append_column("study", pa.array([experiment.name] * table.num_rows, pa.string()))
    return table.append_column("link", pa.array(links, pa.string()))


def _info(
    server: Runs,
    experiment: Experiment,
    table: pa.Table,
    found: Frames,
    fetch: Callable[[str, str], Path | None],
    deleted: int,
) -> StudyInfo:
    """What the study's own run says of it; of a study that older selkd recorded, its space or what its trials vary."""
    name = experiment.name
    kinds = texts(table, "tag:selkd.kind")
    own = table.filter(pa.array([kind == "study" for kind in kinds], pa.bool_())).to_pylist()
    if not own:
        return StudyInfo(name, None, server.link(experiment), "unknown", {}, _varying(found, name), None)
    run = max(own, key=lambda row: row["began"])
    try:
        said = {key: json.loads(run[f"tag:selkd.{key}"]) for key in ("metrics", "searched", "comparison")}
    except (KeyError, TypeError, ValueError, RecursionError):
        said = _space(fetch(run["run"], SPACE))
    searched = tuple(said.get("searched") or _varying(found, name))
    status = WORDS.get(run["status"], "running")
    arrived = sum(
        kind == "trial" and word == "FINISHED" for kind, word in zip(kinds, texts(table, "status"), strict=True)
    )
    return StudyInfo(
        name,
        run["run"],
        run["link"],
        status,
        said.get("metrics") or {},
        searched,
        said.get("comparison"),
        run.get("tag:selkd.changed") is not None,
        run.get("tag:selkd.extended") is not None,
        max(int(run.get(f"tag:{FINISHED}") or 0) - arrived - deleted, 0),
    )


def _space(path: Path | None) -> dict[str, Any]:
    space = read(path) if path is not None else {}
    return {**space, "searched": list(space.get("search") or [])}


def _varying(found: Frames, study: str) -> tuple[str, ...]:
    """The keys of which a study's trials have several values, seeds aside."""
    mine = (found.trials["study"] == study).to_numpy()
    values = {str(key): set(column[mine]) for key, column in found.config.items()}
    return tuple(key for key, several in values.items() if key != "seed" and len(several) > 1)
