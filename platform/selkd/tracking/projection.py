"""What each event of a ledger is in MLflow."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selkd.files import checksum
from selkd.models.card import CARD
from selkd.tracking.ledger import Event
from selkd.tracking.names import DELIVERED, FINISHED, TRIAL, allowed
from selkd.tracking.record import LEDGER

if TYPE_CHECKING:
    from mlflow import MlflowClient

STUDENT = "student"
BEGINNINGS = ("begin", "study")
"""What the ledger of a trial, and that of a study, begin with."""
LEDGER_ID = "selkd.ledger"
STATUS = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED", "pruned": "KILLED"}
MAX_VALUE = 5000
MAX_METRICS, MAX_OTHERS = 1000, 100


def find_or_create(client: "MlflowClient", experiment: str, begin: Event, ledger: str | None) -> str:
    """The run of this trial and ledger. Of several, made when an answer was lost, the oldest stays."""
    runs = client.search_runs([experiment], f"tags.`{LEDGER_ID}` = '{ledger}'")
    runs = sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))
    for extra in runs[1:]:
        client.delete_run(extra.info.run_id)
    if runs:
        return runs[0].info.run_id
    tags = {TRIAL: begin["key"], LEDGER_ID: ledger}
    return client.create_run(experiment, start_time=begin["time"], tags=tags, run_name=begin["name"]).info.run_id


def is_active(client: "MlflowClient", run_id: str) -> bool:
    """Whether the run is still there: a person may have deleted it, or the database."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id).info.lifecycle_stage == "active"
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def project(
    client: "MlflowClient",
    experiment: str,
    run_id: str,
    folder: Path,
    portion: Sequence[Event],
    events: Sequence[Event],
) -> None:
    """Write one portion of `events`: consecutive metrics, or one event of another kind."""
    event = portion[0]
    match event["event"]:
        case "begin":
            client.update_run(run_id, status="RUNNING")
            _log_tags(client, run_id, event["tags"] | _flat(event["provenance"], "selkd.provenance."))
            if event is next(e for e in events if e["event"] == "begin"):
                _log_params(client, run_id, _flat(event["config"]))
        case "study":
            _log_tags(client, run_id, event["tags"] | _flat(event["provenance"], "selkd.provenance."))
        case "change":
            _log_tags(client, run_id, event.get("tags", {}))
        case "extend":
            _log_tags(client, run_id, {"selkd.extended": "true"})
        case "start":
            client.update_run(run_id, status="RUNNING")
        case "told":
            points = ((f"candidate/{k}", v, event["time"], event["number"]) for k, v in event["values"].items())
            _log_points(client, run_id, points)
        case "stop":
            client.set_terminated(run_id, STATUS["finished" if event["finished"] else "stopped"], event["time"])
            finished = {e["key"] for e in events if e["event"] == "trial" and e["status"] == "finished"}
            _log_tags(client, run_id, {"selkd.reason": event["reason"], FINISHED: str(len(finished))})
            client.log_artifact(run_id, str(folder / LEDGER))
        case "log":
            points = ((name, value, e["time"], e["step"]) for e in portion for name, value in e["metrics"].items())
            _log_points(client, run_id, points)
        case "artifact":
            _log_artifact(client, run_id, folder, event)
        case "test-read":
            client.set_tag(run_id, "selkd.test_reads", event["count"])
        case "finish":
            _finish(client, experiment, run_id, folder, event, events)


def _finish(
    client: "MlflowClient", experiment: str, run_id: str, folder: Path, event: Event, events: Sequence[Event]
) -> None:
    """The status first, whatever becomes of the files. Final metrics follow the curves, one step later."""
    finished = event["status"] == "finished"
    step = max((e["step"] for e in events if e["event"] == "log" and e["n"] < event["n"]), default=-1) + 1
    if finished:
        _log_points(client, run_id, ((name, value, event["time"], step) for name, value in event["metrics"].items()))
    _log_tags(client, run_id, {"selkd.status": event["status"], "selkd.reason": event["reason"] or ""})
    client.set_terminated(run_id, STATUS[event["status"]], end_time=event["time"])
    now = time.time()
    _log_points(client, run_id, iter([(DELIVERED, now, int(1000 * now), step)]))
    client.log_artifact(run_id, str(folder / LEDGER))
    if finished and (folder / STUDENT / CARD).is_file():
        from selkd.tracking.pyfunc import log_student

        log_student(client, experiment, run_id, folder / STUDENT, step)


def _log_points(client: "MlflowClient", run_id: str, points: Iterator[tuple[str, Any, int, int]]) -> None:
    from mlflow.entities import Metric

    metrics = [Metric(allowed(name), float(value), time, step) for name, value, time, step in points]
    for start in range(0, len(metrics), MAX_METRICS):
        client.log_batch(run_id, metrics=metrics[start : start + MAX_METRICS])


def _log_params(client: "MlflowClient", run_id: str, values: Mapping[str, str]) -> None:
    from mlflow.entities import Param

    params = [Param(allowed(key), value) for key, value in values.items()]
    for start in range(0, len(params), MAX_OTHERS):
        client.log_batch(run_id, params=params[start : start + MAX_OTHERS])


def _log_tags(client: "MlflowClient", run_id: str, values: Mapping[str, str]) -> None:
    from mlflow.entities import RunTag

    tags = [RunTag(allowed(key), value[:MAX_VALUE]) for key, value in values.items()]
    for start in range(0, len(tags), MAX_OTHERS):
        client.log_batch(run_id, tags=tags[start : start + MAX_OTHERS])


def _log_artifact(client: "MlflowClient", run_id: str, folder: Path, event: Event) -> None:
    """A file that was replaced since is left to the later event that names the new one."""
    path = folder / event["path"]
    if path.is_file() and checksum(path) == event["sha256"]:
        client.log_artifact(run_id, str(path), event["folder"] or None)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested keys joined by dots; values as text, cut to MLflow's limit."""
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            found[f"{prefix}{key}"] = text[:MAX_VALUE]
    return found
