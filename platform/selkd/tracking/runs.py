"""What MLflow holds, as plain values: the one place where selkd reads from it."""

import contextlib
import gc
import posixpath
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlparse
from urllib.request import url2pathname

from selkd.errors import UserError, nearest
from selkd.files import writing
from selkd.tracking.names import DELIVERED, TRIAL
from selkd.tracking.provenance import without_password
from selkd.tracking.server import connect

PAGE = 500
"""Runs a request: MLflow holds a page in memory whole, with everything that belongs to it."""
IDS = 500
"""Run ids a request."""


class Experiment(NamedTuple):
    """One experiment; a deleted one of the same name has another id, one of another database another birth."""

    id: str
    name: str
    created: int


class Run(NamedTuple):
    """One run. Times are milliseconds."""

    id: str
    name: str
    status: str
    began: int
    ended: int | None
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]


class Runs:
    """The runs of one MLflow."""

    def __init__(self, uri: str) -> None:
        self.uri, self.place = uri, without_password(uri)
        database = Path(uri.removeprefix("sqlite:///"))
        if uri.startswith("sqlite:///") and not database.is_file():
            raise UserError(f"nothing is recorded yet: no MLflow database {database}. Set MLFLOW_TRACKING_URI.")
        with self._asking():
            self._client = connect(uri)
        self._artifacts: dict[str, str] = {}  # where each run's files lie, asked once

    def experiment(self, name: str) -> Experiment:
        """The active experiment of a study."""
        with self._asking():
            found = self._client.get_experiment_by_name(name)
            if found is None:
                names = [e.name for e in self._all_experiments() if e.name != "Default"]
                raise UserError(f"no study {name!r} in MLflow at {self.place}. {nearest(name, names)}")
        if found.lifecycle_stage != "active":
            raise UserError(f"study {name!r} was deleted in MLflow at {self.place}. Restore its experiment there.")
        return Experiment(found.experiment_id, found.name, found.creation_time or 0)

    def everything(self, experiment: Experiment) -> Iterator[list[Run]]:
        """Every active run, a page at a time."""
        return self._pages(experiment)

    def study(self, experiment: Experiment) -> list[Run]:
        return self._all(experiment, "tags.`selkd.kind` = 'study'")

    def running(self, experiment: Experiment) -> list[Run]:
        return self._all(experiment, "attributes.status = 'RUNNING'")

    def changed(self, experiment: Experiment, since: float) -> list[Run]:
        """Runs that arrived, or ended, after `since` (Unix seconds). What older selkd delivered late is not known."""
        arrived = self._all(experiment, f"metrics.`{DELIVERED}` > {since:.3f}")
        return self._all(experiment, f"attributes.end_time > {int(1000 * since)}") + arrived

    def deleted(self, experiment: Experiment) -> dict[str, str]:
        """Deleted runs and their trials' keys, until `mlflow gc` forgets them. MLflow tells no id without its run."""
        return {run.id: run.tags.get(TRIAL, "") for run in self._all(experiment, deleted=True)}

    def named(self, experiment: Experiment, ids: Iterable[str]) -> list[Run]:
        """The active ones among the runs of these ids."""
        ids = sorted(ids)
        portions = [ids[start : start + IDS] for start in range(0, len(ids), IDS)]
        listed = [", ".join(f"'{name}'" for name in portion) for portion in portions]
        return [run for names in listed for run in self._all(experiment, f"attributes.run_id IN ({names})")]

    def link(self, experiment: Experiment, run_id: str | None = None) -> str:
        """What a reader opens to see a run, or the whole experiment."""
        if self.uri.startswith(("http://", "https://")):
            page = f"{self.place.rstrip('/')}/#/experiments/{experiment.id}"
            return page if run_id is None else f"{page}/runs/{run_id}"
        return f"{run_id or experiment.name} (`selkd ui`)"

    def file(self, run_id: str, path: str, kept: Path) -> Path | None:
        """An artifact of a run, where it lies on this machine, else downloaded to `kept`; nothing when it has none."""
        if kept.is_file():
            return kept
        with self._asking():
            if run_id not in self._artifacts:
                self._artifacts[run_id] = str(self._client.get_run(run_id).info.artifact_uri)
            place = urlparse(self._artifacts[run_id])
            if place.scheme in ("", "file"):
                local = Path(url2pathname(place.path)) / path
                return local if local.is_file() else None
            listed = self._client.list_artifacts(run_id, posixpath.dirname(path) or None)
            if path not in {info.path for info in listed}:
                return None
            with tempfile.TemporaryDirectory() as temporary:
                downloaded = self._client.download_artifacts(run_id, path, temporary)
                with writing(kept) as part:
                    shutil.copyfile(downloaded, part)
        return kept

    def _all(self, experiment: Experiment, condition: str = "", *, deleted: bool = False) -> list[Run]:
        return [run for page in self._pages(experiment, condition, deleted=deleted) for run in page]

    def _pages(self, experiment: Experiment, condition: str = "", *, deleted: bool = False) -> Iterator[list[Run]]:
        """Runs in the order in which they began. A page starts where the last one ended, by time and not by count:
        runs that come or go meanwhile push no other one over the edge between two pages."""
        from mlflow.entities import ViewType

        view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
        since, size = 0, PAGE
        known: set[str] = set()
        while True:
            limits = [condition] * bool(condition) + [f"attributes.start_time >= {since}"]
            with self._asking(), _uncollected():
                page = self._client.search_runs(
                    [experiment.id], " and ".join(limits), view, size, ["attributes.start_time ASC"]
                )
            yield [_plain(run) for run in page if run.info.run_id not in known]
            if page.token is None:
                return
            gc.collect()  # the page's objects hold one another
            last = page[-1].info.start_time
            size = PAGE if last > since else 2 * size  # more than a page began in one millisecond
            since, known = last, {run.info.run_id for run in page if run.info.start_time == last}

    def _all_experiments(self) -> Iterator[Any]:
        token = None
        while True:
            page = self._client.search_experiments(page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, SQLAlchemyError, OSError) as error:
            said = (str(error) or type(error).__name__).splitlines()[0]
            raise UserError(f"MLflow at {self.place} cannot be read: {without_password(said)}. Try again.") from error


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no garbage while MLflow makes its hundred thousand objects a page: that would take 2.6 times as long."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def _plain(run: Any) -> Run:
    info, data = run.info, run.data
    return Run(
        info.run_id, info.run_name or "", info.status, info.start_time, info.end_time, data.params, data.tags,
        data.metrics,
    )  # fmt: skip
