"""Records and students fetched from MLflow by machines that did not train them. Nothing that is fetched is executed."""

import contextlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from selkd.errors import UserError, nearest
from selkd.files import checksum
from selkd.tracking.projection import LEDGER_ID, STUDENT, TRIAL
from selkd.tracking.provenance import without_password
from selkd.tracking.pyfunc import logged_student
from selkd.tracking.record import LEDGER, TrialRecord
from selkd.tracking.server import connect
from selkd.tracking.student import load_student

if TYPE_CHECKING:
    from mlflow import MlflowClient

T = TypeVar("T")

FILES = ("predictions-validation.parquet", "predictions-test.parquet", "probe.parquet")
"""What a record is compared and described by, beside its ledger."""
WITHIN = f"artifacts/{STUDENT}"
"""Where a logged model keeps the student's folder."""
FORMS = "models:/NAME@ALIAS, models:/NAME/VERSION or runs:/ID/student"
_RUN = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Source:
    """Where a model's files are, and the run that made them, where that is known."""

    location: str
    run_id: str | None


@dataclass(frozen=True)
class RunName:
    """What MLflow calls a trial, and whose ledger its run was written from."""

    run_id: str
    trial: str
    ledger: str


def is_address(student: str) -> bool:
    """Whether a student is named by its place in MLflow."""
    return student.startswith(("models:", "runs:"))


def is_run_id(name: str) -> bool:
    return _RUN.fullmatch(name) is not None


@contextlib.contextmanager
def explained(what: str, uri: str) -> Iterator[None]:
    """MLflow's own faults, and those on the way to it, as an error for people."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except UserError:
        raise
    except (MlflowException, OSError) as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{what}: MLflow at {without_password(uri)} says: {said}") from None


def find_run(uri: str, name: str) -> RunName | None:
    """The run of MLflow with this id, or the newest one of the trial with this key."""
    client = connect(uri)
    with explained(name, uri):
        if is_run_id(name):
            run = _found(lambda: client.get_run(name))
            if run is None:
                return None
        else:
            everywhere = [e.experiment_id for e in client.search_experiments()]
            runs = client.search_runs(everywhere, f"tags.`{TRIAL}` = '{name}'") if "'" not in name else []
            if not runs:
                return None
            run = max(runs, key=lambda run: run.info.start_time)
    tags = run.data.tags
    if tags.get("selkd.kind") == "study":
        raise UserError(f"{name}: this run of MLflow stands for a whole study. Name the run of one of its students.")
    if TRIAL not in tags:
        raise UserError(f"{name}: this run of MLflow was not recorded by selkd, so nothing says how it was trained.")
    return RunName(run.info.run_id, tags[TRIAL], tags.get(LEDGER_ID, ""))


def trial_keys(uri: str) -> set[str]:
    """The keys of all trials that MLflow has."""
    client, page = connect(uri), None
    found: set[str] = set()
    with explained("runs", uri):
        everywhere = [e.experiment_id for e in client.search_experiments()]
        while everywhere:
            runs = client.search_runs(everywhere, page_token=page)
            found |= {run.data.tags[TRIAL] for run in runs if TRIAL in run.data.tags}
            page = runs.token
            if not page:
                break
    return found


def fetch_record(uri: str, run_id: str, folder: Path) -> TrialRecord:
    """The record of a run: its ledger, checked line by line, and the files it names, checked by their checksums."""
    client = connect(uri)
    with explained(f"run {run_id}", uri):
        if client.get_run(run_id).info.status == "RUNNING":
            raise UserError(
                f"run {run_id}: MLflow has not heard that it ended, so its ledger is not there. Wait for it; if it "
                "ended, `selkd sync` on the machine that trained it delivers the rest."
            )
        client.download_artifacts(run_id, LEDGER, str(_made(folder)))
        record = TrialRecord(folder)
        present = {file.path for file in client.list_artifacts(run_id)}
        for event in {e["path"]: e for e in record.ledger.events() if e["event"] == "artifact"}.values():
            if event["path"] in present & set(FILES):
                client.download_artifacts(run_id, event["path"], str(folder))
                if checksum(folder / event["path"]) != event["sha256"]:
                    raise UserError(
                        f"run {run_id}: {event['path']} in MLflow is not the file that its ledger names. Restore it."
                    )
        model = logged_student(client, client.get_run(run_id).info.experiment_id, run_id)
        if model is not None:
            with contextlib.suppress(UserError), explained(run_id, uri):  # the rest of the record speaks without it
                _fetch_folder(uri, model.artifact_location, run_id, folder / STUDENT)
    return record


def fetch_student(uri: str, address: str, folder: Path) -> Path:
    """The folder of the student at an address of MLflow, with the weights that its card names."""
    return fetch_source(uri, source_of(uri, address), address, folder)


def fetch_source(uri: str, source: Source, name: str, folder: Path) -> Path:
    """The folder of the student among the files of a model; `name` is what errors call it."""
    with explained(name, uri):
        _fetch_folder(uri, source.location, name, folder / STUDENT)
    try:
        load_student(folder / STUDENT)
    except UserError as error:
        said = str(error).replace(f"{folder / STUDENT}/", "")
        raise UserError(f"{name}: what MLflow keeps is damaged. {said}") from None
    return folder / STUDENT


def source_of(uri: str, address: str) -> Source:
    """What a `models:/` or `runs:/` address stands for at this moment."""
    client = connect(uri)
    with explained(address, uri):
        if match := re.fullmatch(rf"runs:/+({_RUN.pattern})/{STUDENT}", address):
            return _of_run(client, match[1], address)
        if match := re.fullmatch(r"models:/(m-[0-9a-f]{32})", address):
            model = client.get_logged_model(match[1])
            return Source(model.artifact_location, model.source_run_id)
        if match := re.fullmatch(r"models:/([^/@]+)(?:@([^/@]+)|/([1-9][0-9]*|latest))", address):
            return _of_version(client, match[1], match[2], match[3], address)
    raise UserError(f"{address!r} is no address of a student in MLflow. Write {FORMS}.")


def _of_run(client: "MlflowClient", run_id: str, address: str) -> Source:
    run = _found(lambda: client.get_run(run_id))
    model = logged_student(client, run.info.experiment_id, run_id) if run is not None else None
    if model is None:
        raise UserError(f"{address}: MLflow has no student of this run; it did not finish, or somebody deleted it.")
    return Source(model.artifact_location, run_id)


def _of_version(client: "MlflowClient", name: str, alias: str | None, number: str | None, address: str) -> Source:
    registered = {model.name: model for model in client.search_registered_models()}
    if name not in registered:
        raise UserError(f"{address}: no model {name!r} is registered. {nearest(name, registered)}")
    newest = max((int(version.version) for version in registered[name].latest_versions or []), default=0)
    if alias is not None:
        aliases = registered[name].aliases
        if alias not in aliases:
            raise UserError(f"{address}: model {name!r} has no alias {alias!r}. {nearest(alias, aliases)}")
        number = str(aliases[alias])
    elif number == "latest":
        number = str(newest)
    version = _found(lambda: client.get_model_version(name, str(number)))
    if version is None:
        raise UserError(f"{address}: model {name!r} has no version {number}; the newest is {newest or 'deleted'}.")
    return Source(client.get_model_version_download_uri(name, str(number)), version.run_id)


def _found(ask: Callable[[], T]) -> T | None:
    """What MLflow answers, or nothing where it has no such thing."""
    from mlflow.exceptions import MlflowException

    try:
        return ask()
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def _fetch_folder(uri: str, location: str, name: str, folder: Path) -> None:
    """Download the student's folder alone: the model's code stays where it is."""
    from mlflow.artifacts import download_artifacts

    with tempfile.TemporaryDirectory(dir=_made(folder.parent)) as place:
        found = Path(download_artifacts(f"{location}/{WITHIN}", dst_path=place, tracking_uri=uri))
        if not (found / "card.json").is_file():
            raise UserError(f"{name}: this model holds no student of selkd ({WITHIN}/card.json is missing).")
        shutil.move(found, folder)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
