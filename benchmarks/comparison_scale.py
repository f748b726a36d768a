"""Seconds and memory to read recorded studies from MLflow and compare them: nothing cached, and nothing changed since.

`read` and `compare` are steps of the library, imports not counted. `command` is `selkd compare` from its start to its
end, as a user waits for it, with everything that it imports and prints.

Goal at 10,000 trials, warm: under 3 s to read, under 10 s and 1 GiB for the command.
`python -m benchmarks comparison_scale 100 1000 10000`
"""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from selkd.tracking.names import DELIVERED
from selkd.tracking.server import connect

SIZES = (100, 1000, 10_000)
STUDY = "scale"
SEEDS, BEGAN = 10, 1_700_000_000_000
PARAMS, METRICS, TAGS = 60, 60, 40
"""A run's params, metrics and tags, about as many as real ones have."""
MEASURED = """
import json, resource, sys, time
from pathlib import Path
import mlflow.tracking, pandas, pyarrow.parquet
from selkd.comparison.compare import Question, answer
from selkd.comparison.records import read_records
from selkd.tracking.runs import Runs

Runs(sys.argv[2])
steps, started = {}, (time.perf_counter(), time.process_time())
def took(step):
    global started
    now = (time.perf_counter(), time.process_time())
    steps[step], started = [now[0] - started[0], now[1] - started[1]], now

records = read_records([sys.argv[1]], sys.argv[2], Path(sys.argv[3]))
took("read")
answer(records, Question("objective.name"))
took("compare")
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"trials": len(records.trials), "steps": steps, "memory": memory}))
"""
"""One reading in a process of its own. Imports and opening the database are not counted; later steps follow `read`."""


def main(arguments: list[str]) -> None:
    print(f"{'trials':>7} {'cache':>6} {'step':>8} {'seconds':>8} {'of a CPU':>8} {'peak MB':>8}")
    for size in [int(text) for text in arguments] or SIZES:
        with tempfile.TemporaryDirectory(prefix="selkd-bench-") as name:
            folder = Path(name)
            uri = fill(folder / "mlflow.db", size)
            for state in ("cold", "warm"):
                found = measured(uri, folder / "cache")
                assert found["trials"] == size, found
                for step, (wall, cpu) in found["steps"].items():
                    _print(size, state, step, wall, cpu, found["memory"])
            for state in ("cold", "warm"):
                _print(size, state, "command", *commanded(uri, folder))


def _print(size: int, state: str, step: str, wall: float, cpu: float, memory: float) -> None:
    print(f"{size:>7} {state:>6} {step:>8} {wall:>8.2f} {cpu:>8.2f} {memory:>8.0f}", flush=True)


def commanded(uri: str, workspace: Path) -> tuple[float, float, float]:
    """Seconds, seconds of a processor and peak megabytes of the whole command."""
    command = [sys.executable, "-c", "from selkd.cli import main; main()", "compare", STUDY, "--by", "objective.name"]
    environment = os.environ | {"SELKD_WORKSPACE": str(workspace), "MLFLOW_TRACKING_URI": uri, "COLUMNS": "160"}
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall, process.returncode = time.perf_counter() - started, os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def measured(uri: str, cache: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, STUDY, uri, str(cache)], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout)


def fill(path: Path, trials: int) -> str:
    """A database that holds one finished study of this many trials, written past MLflow, which would take an hour."""
    uri = f"sqlite:///{path}"
    client = connect(uri)
    experiment = client.create_experiment(STUDY, artifact_location=(path.parent / "artifacts").as_uri())
    database = sqlite3.connect(path)
    database.execute("pragma synchronous = off")
    rng = np.random.default_rng(0)
    for first in range(0, trials, 1000):
        numbers = range(first, min(first + 1000, trials))
        for table, rows in _rows(experiment, numbers, rng).items():
            marks = ", ".join(f":{column}" for column in rows[0])
            columns = ", ".join(rows[0])
            database.executemany(f"insert into {table} ({columns}) values ({marks})", rows)
    database.commit()
    database.close()
    return uri


def _rows(experiment: str, numbers: range, rng: np.random.Generator) -> dict[str, list[dict[str, Any]]]:
    """The rows of some trials, by table."""
    rows: dict[str, list[dict[str, Any]]] = {"runs": [], "params": [], "tags": [], "metrics": [], "latest_metrics": []}
    for number in numbers:
        run, began = f"{number:032x}", BEGAN + 1000 * number
        rows["runs"].append(
            {"run_uuid": run, "name": STUDY, "status": "FINISHED", "start_time": began, "end_time": began + 60_000,
             "lifecycle_stage": "active", "experiment_id": experiment, "artifact_uri": f"file:///nowhere/{run}",
             "user_id": "", "source_type": "UNKNOWN"}
        )  # fmt: skip
        rows["params"] += [{"run_uuid": run, "key": key, "value": value} for key, value in _params(number)]
        rows["tags"] += [{"run_uuid": run, "key": key, "value": value} for key, value in _tags(number)]
        points = [
            {"run_uuid": run, "key": key, "value": value, "timestamp": began, "step": 31, "is_nan": False}
            for key, value in _metrics(number, began, rng)
        ]
        rows["metrics"] += points
        rows["latest_metrics"] += points
    return rows


def _objective(number: int) -> str:
    return ("cross-entropy", "kd", "selkd")[number // SEEDS % 3]


def _params(number: int) -> Iterator[tuple[str, str]]:
    named = {
        "name": STUDY,
        "experiment": STUDY,
        "seed": str(number % SEEDS),
        "data.rows_per_category": str((20, 100, 500)[number // (3 * SEEDS) % 3]),
        "objective.name": _objective(number),
        "objective.epsilon": repr(0.5 + number // (9 * SEEDS) / 100),
        "task.mode": "open",
        "task.categories": '["three", "five", "eight", "nine"]',
    }
    yield from named.items()
    yield from ((f"training.setting{place}", repr(place / 8)) for place in range(PARAMS - len(named)))


def _tags(number: int) -> Iterator[tuple[str, str]]:
    named = {
        "selkd.trial": f"{STUDY}-{number:010x}",
        "selkd.ledger": f"{number:032x}",
        "selkd.kind": "trial",
        "selkd.study": STUDY,
        "selkd.candidate": str(number // SEEDS),
        "selkd.role": "student",
        "selkd.seed": str(number % SEEDS),
        "selkd.categories": "three, five, eight, nine",
        "selkd.status": "finished",
    }
    yield from named.items()
    yield from ((f"selkd.provenance.part{place}", f"{place:040x}") for place in range(TAGS - len(named)))


def _metrics(number: int, began: int, rng: np.random.Generator) -> Iterator[tuple[str, float]]:
    level = 0.8 + 0.02 * (_objective(number) == "selkd")
    named = {
        "validation/accuracy": level + 0.03 * rng.standard_normal(),
        "test/accuracy": level + 0.03 * rng.standard_normal(),
        "validation/balanced": level + 0.03 * rng.standard_normal(),
        "test/balanced": level + 0.03 * rng.standard_normal(),
        "cost/row_gradients": 3000.0,
        "cost/rows_scored": 0.0,
        DELIVERED: began / 1000 + 60,
    }
    yield from named.items()
    yield from ((f"test/measure{place}", float(rng.random())) for place in range(METRICS - len(named)))


if __name__ == "__main__":
    main(sys.argv[1:])
