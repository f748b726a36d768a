"""Where MLflow is, whether it answers, and how to talk to it without its fluent global state."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from selkd.errors import UserError
from selkd.tracking.provenance import without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient

PATIENCE = (3.05, 30.0)
"""Seconds to connect, and to wait for an answer."""
CHEAPEST = "/api/2.0/mlflow/experiments/search?max_results=1"
"""A question that a server answers to those it knows alone; it says that it is well to everybody."""
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
}
"""Defaults for MLflow: quiet, and requests end. Repeating them is the courier's work, which looks before it writes."""


def tracking_uri(workspace: Path) -> str:
    """MLFLOW_TRACKING_URI, or a database in the workspace."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{workspace.absolute()}/mlflow.db"


def reachable(uri: str) -> str | None:
    """Why MLflow at `uri` cannot be used now; nothing when it can."""
    if not uri.startswith(("http://", "https://")):
        return _unusable_store(uri)
    import requests

    user, password, token = (os.environ.get(f"MLFLOW_TRACKING_{name}") for name in ("USERNAME", "PASSWORD", "TOKEN"))
    headers = {"Authorization": f"Bearer {token}"} if token and not user else {}
    try:
        answer = requests.get(
            f"{uri.rstrip('/')}{CHEAPEST}",
            timeout=PATIENCE,
            headers=headers,
            auth=(user, password or "") if user else None,
        )
    except requests.RequestException as error:
        return f"no answer ({type(error).__name__})"
    if answer.status_code in (401, 403) and "MLFLOW_TRACKING_AUTH" not in os.environ:
        return "it wants to know who asks (MLFLOW_TRACKING_USERNAME and _PASSWORD, or MLFLOW_TRACKING_TOKEN)"
    return f"answers {answer.status_code}" if answer.status_code >= 500 else None


def connect(uri: str) -> "MlflowClient":
    """A client of a server that answers; a database gets its tables the first time."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if problem := reachable(uri):
        raise UserError(f"MLflow at {without_password(uri)}: {problem}. Start it, or set MLFLOW_TRACKING_URI.")
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def experiment_id(client: "MlflowClient", uri: str, name: str, workspace: Path) -> str:
    """The experiment's id. A new one keeps its artifacts in the workspace, unless a server keeps them."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        served = uri.startswith(("http://", "https://", "databricks"))
        location = None if served else (workspace.absolute() / "mlartifacts").as_uri()
        try:
            return client.create_experiment(name, artifact_location=location)
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another process was faster
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise UserError(f"experiment {name!r} was deleted in MLflow. Restore it there, or choose another name.")
    return found.experiment_id


def _unusable_store(uri: str) -> str | None:
    path = re.match(r"sqlite:///(.+)$", uri)
    if path is None:
        return None
    place = Path(path[1])
    while not place.exists():
        place = place.parent
    return None if os.access(place, os.W_OK) else f"{place} is not writable"
