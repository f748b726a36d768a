"""Students in MLflow's model registry: one version a student, however often it is published."""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from selkd.errors import UserError
from selkd.tracking.delivery import Cursor, deliver, experiments
from selkd.tracking.fetching import Source, explained, fetch_source
from selkd.tracking.projection import STUDENT, is_active
from selkd.tracking.pyfunc import log_student, logged_student
from selkd.tracking.record import TrialRecord
from selkd.tracking.server import connect
from selkd.tracking.student import load_student

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion


ALIAS = re.compile(r"(?!latest$|v\d+$)[\w-]{1,255}", re.IGNORECASE)


@dataclass(frozen=True)
class Version:
    """A version of a registered model; `made` if it was not there before."""

    name: str
    number: str
    made: bool


def delivered(record: TrialRecord, workspace: Path, uri: str) -> str:
    """The run of MLflow that holds this record, after everything of it was delivered, its student included."""
    names = experiments(record.folder) or [record.config["experiment"]]
    for name in names:
        deliver(record.folder, uri, name)
    run_id = Cursor.read(record.folder, uri, names[0], record.ledger.id).run_id
    client = connect(uri)
    with explained(record.folder.name, uri):
        if run_id is None or not is_active(client, run_id):
            raise UserError(f"{record.folder.name}: its run was deleted in MLflow. Restore it there.")
        experiment = client.get_run(run_id).info.experiment_id
        log_student(client, experiment, run_id, record.folder / STUDENT, record.progress[0] + 1)
    return run_id


def check_names(name: str | None, alias: str) -> None:
    """Refuse what MLflow would refuse only after half of the work; a name may not be known yet."""
    if name is not None and (not name.strip() or set(name) & set("/:@")):
        raise UserError(f"--name: {name!r} cannot name a model: it needs letters, and no slash, colon or @.")
    if not ALIAS.fullmatch(alias):
        raise UserError(
            f"--alias: {alias!r} cannot be an alias: letters, digits, dashes and underscores, neither `latest` nor a "
            "version such as v2."
        )


def publish(uri: str, run_id: str, name: str, alias: str, description: str, tags: Mapping[str, str]) -> Version:
    """Register the student of a run under `name`, see that it loads, and only then let `alias` name it.

    Every step may have been done before by a process that died: the version is the one of the run's logged model.
    """
    client = connect(uri)
    with explained(f"{name}@{alias}", uri):
        model = logged_student(client, client.get_run(run_id).info.experiment_id, run_id)
        if model is None:
            raise UserError(
                f"run {run_id}: MLflow has no student of it; somebody deleted it. Promote it again on the machine that "
                "trained it."
            )
        _check(uri, model, run_id)
        _ensure(client, name)
        by_run = client.search_model_versions(f"run_id = '{run_id}'")
        found = [v for v in by_run if (v.name, v.source) == (name, model.artifact_location)]
        version = min(found, key=lambda v: int(v.version)) if found else _create(client, name, model, run_id)
        number = str(version.version)
        client.update_model_version(name, number, description)
        for key, value in tags.items():
            client.set_model_version_tag(name, number, key, value)
        client.set_registered_model_alias(name, alias, number)
    return Version(name, number, not found)


def _check(uri: str, model: "LoggedModel", run_id: str) -> None:
    """Refuse what MLflow keeps damaged."""
    with tempfile.TemporaryDirectory() as place:
        load_student(fetch_source(uri, Source(model.artifact_location, run_id), f"run {run_id}", Path(place)))


def _ensure(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _create(client: "MlflowClient", name: str, model: "LoggedModel", run_id: str) -> "ModelVersion":
    """The source is where the files are: of a `models:/` source, a database would ask MLflow's global address."""
    return client.create_model_version(name, model.artifact_location, run_id, model_id=model.model_id)
