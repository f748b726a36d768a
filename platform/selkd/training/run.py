"""Train one student from a configuration, and record it."""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from selkd.config import RunConfig, Workspace
from selkd.errors import UserError
from selkd.files import holding
from selkd.models.classifier import Classifier
from selkd.store import store
from selkd.tracking import Courier, TrialRecord, pending, provenance, tracking_uri
from selkd.tracking.stored import CHECKPOINTS, publish_run
from selkd.training.checkpoints import Checkpoints
from selkd.training.conclude import conclude
from selkd.training.ending import Moved, Paused, StoppedEarly, forget, noticed, obey
from selkd.training.evaluation import SCORES, scored
from selkd.training.loop import Epoch, Loop
from selkd.training.setup import Setup, device_of
from selkd.training.workers import Workers

if TYPE_CHECKING:
    import pandas as pd

DELIVERY_PATIENCE = 5.0
LOCK = ".lock"


@dataclass(frozen=True)
class Trained:
    """A finished student, read from its record."""

    key: str
    folder: Path
    config: RunConfig
    metrics: dict[str, float]
    history: "pd.DataFrame"
    delivered: bool

    @property
    def student(self) -> Path:
        return self.folder / "student"


@dataclass(frozen=True)
class Recording:
    """What is recorded of a run beyond what its configuration says."""

    tags: Mapping[str, str] = field(default_factory=dict)
    deliver: bool = True  # bring the record to MLflow; else somebody else does
    figures: bool = True


DEFAULT_RECORDING = Recording()


def train(
    config: RunConfig | Mapping[str, Any] | str | Path,
    workspace: Workspace | None = None,
    *,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    between: Callable[[], None] = lambda: None,
    fresh: bool = False,
    recording: Recording = DEFAULT_RECORDING,
    patience: float = 0,
) -> Trained:
    """Train the student that `config` describes. A finished one is returned, an unfinished one is resumed.

    `on_epoch` and `between`, which is called between two updates where one worker trains, may end it: see `ending`. So
    does SIGTERM, with a checkpoint.
    Another process that trains the same student is waited for `patience` seconds.
    """
    config, workspace = RunConfig.of(config), workspace or Workspace.default()
    folder = workspace.runs / config.key
    with _alone(folder, patience):
        if TrialRecord(folder).status != "finished" and not fresh:
            store().bring([folder])
        record = TrialRecord(folder)
        if fresh or record.status == "finished":
            setup = Setup.of(config, workspace, Workers(), device_of(config))
            if fresh:
                store().forget(folder)
                _forget(folder)
            else:
                same_origin(record, setup)
        forget(folder)
        with store().following(lambda: publish_run(folder), config.key):
            if TrialRecord(folder).status != "finished":
                _train(config, workspace, on_epoch, between, recording)
    return result(workspace, config)


def _train(
    config: RunConfig,
    workspace: Workspace,
    on_epoch: Callable[[Epoch], None],
    between: Callable[[], None],
    recording: Recording,
) -> None:
    """In this process, or in several through Ray Train."""
    if config.workers.count == 1:
        with noticed() as leave:

            def look() -> None:
                leave()
                between()

            work(config, workspace, Workers(), on_epoch, provenance(), recording, look)
        return
    from selkd.training.ray_entry import train_with_ray

    train_with_ray(config, workspace, on_epoch, recording)


@contextlib.contextmanager
def _alone(folder: Path, patience: float) -> Iterator[None]:
    """Hold the trial's folder, so that no other process trains the same student."""
    busy = f"{folder}: another process trains this student. Wait for it, or change name or seed."
    with holding(folder / LOCK, patience, busy):
        try:
            yield
        finally:
            if [path.name for path in folder.iterdir()] == [LOCK]:  # it never began
                shutil.rmtree(folder)


def _forget(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def work(
    config: RunConfig,
    workspace: Workspace,
    workers: Workers,
    on_epoch: Callable[[Epoch], None],
    origin: dict[str, Any],
    recording: Recording,
    between: Callable[[], None] = lambda: None,
) -> None:
    """One worker's part of training a student; the first worker also keeps the record."""
    with threads(config.training.threads):
        setup = workers.together(lambda: _prepared(config, workspace, workers))
        record = TrialRecord(workspace.runs / config.key)
        begun = origin | {"fingerprints": setup.fingerprints()}
        settings = config.model_dump(mode="json")
        workers.lead(
            lambda: record.begin(config.key, config.name, settings, _tags(setup) | dict(recording.tags), begun)
        )
        if not workers.first:
            conclude(setup, _trained(setup), record, recording.figures)
            return
        courier = Courier(tracking_uri(workspace.root), config.experiment) if recording.deliver else None

        if courier is not None:
            courier.poke(record.folder)

        def report(epoch: Epoch) -> None:
            record.log(epoch.epoch, epoch.metrics, epoch.epochs)
            if courier is not None:
                courier.poke(record.folder)

        def then(epoch: Epoch) -> None:
            on_epoch(epoch)
            obey(record.folder)
            between()

        try:
            with ended_in(record):
                conclude(setup, _trained(setup, report, then, between), record, recording.figures)
        finally:
            if courier is not None:
                courier.poke(record.folder)
                courier.close(DELIVERY_PATIENCE)


def _prepared(config: RunConfig, workspace: Workspace, workers: Workers) -> Setup:
    setup = Setup.of(config, workspace, workers, device_of(config))
    same_origin(TrialRecord(workspace.runs / config.key), setup)
    setup.fingerprints()  # computes the evidence
    if setup.teachers:
        setup.evidence("validation")  # finds a damaged teacher before training, not after
        _ = setup.weighing  # reads the teacher where it has to
    setup.rounds.rows(0)  # refuses a policy that cannot choose
    return setup


def same_origin(record: TrialRecord, setup: Setup) -> None:
    """Refuse to go on, or to answer, with data, a teacher or a subset that changed since the run began."""
    begun = [event for event in record.ledger.events() if event["event"] == "begin"]
    before = begun[-1]["provenance"].get("fingerprints", {}) if begun else {}
    for name, value in setup.origin().items():
        if name in before and before[name] != value:
            raise UserError(
                f"{record.folder.name}: its {name} changed since it began. Use another name, or --fresh to train again."
            )


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """This many CPU threads, and afterwards what the caller had."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def ended_in(record: TrialRecord) -> Iterator[None]:
    """Say in the record how a trial ended that did not finish."""
    try:
        yield
    except BaseException as error:
        if record.status == "running":
            match error:
                case StoppedEarly():
                    record.finish("pruned", {}, str(error))
                case Paused() | Moved():
                    record.finish("stopped", {}, str(error))
                case KeyboardInterrupt():
                    record.finish("stopped", {}, "interrupted; the same command resumes")
                case _:
                    record.finish("failed", {}, f"{type(error).__name__}: {error}")
        raise


def fit(
    config: RunConfig, workspace: Workspace, workers: Workers, report: Callable[[Epoch], None], *, keep: bool = True
) -> tuple[Setup, Classifier]:
    """Train a student without a record; with `keep`, checkpoints are written and the last one is where it goes on."""
    setup = Setup.of(config, workspace, workers, device_of(config))
    return setup, _trained(setup, report, keep=keep)


def _trained(
    setup: Setup,
    report: Callable[[Epoch], None] = lambda _: None,
    then: Callable[[Epoch], None] = lambda _: None,
    between: Callable[[], None] = lambda: None,
    *,
    keep: bool = True,
) -> Classifier:
    config, validation = setup.config, setup.splits.validation
    assert keep or config.training.keep == "last", "the best epoch is found in a checkpoint"
    batches = setup.batches()
    student = setup.shared(setup.student())
    loop = Loop(
        model=student,
        objective=setup.objective(batches.counts),
        batches=batches,
        validate=lambda model: scored(setup, model, validation).metrics(),
        score=SCORES[config.task.mode],
        optimiser=config.training.optimiser,
        schedule=config.training.schedule,
        total_steps=setup.total_steps,
        device=setup.device,
        workers=setup.workers,
        precision=config.training.precision,
        clip=config.training.clip,
        accumulate=config.training.accumulate,
        validate_every=config.training.validate_every,
        keys=setup.keys,
        seed=config.seed,
        weighing=setup.weighing,
        outer=setup.outer_batches(),
    )
    checkpoints = Checkpoints(setup.workspace.runs / config.key / CHECKPOINTS) if keep else None
    loop.fit(checkpoints, report, then, between)
    if checkpoints is not None and config.training.keep == "best":
        best = checkpoints.best()
        if best is None:
            raise UserError(
                f"{checkpoints.folder}: the best checkpoint is damaged. Set training.keep=last, or use --fresh."
            )
        mine = {k.removeprefix("model."): v for k, v in best["trained"].items() if k.startswith("model.")}
        student.load_state_dict(mine)
    return student


def result(workspace: Workspace, config: RunConfig) -> Trained:
    """The finished student of a configuration, read from its record."""
    record = TrialRecord(workspace.runs / config.key)
    if record.status != "finished":
        raise UserError(f"{record.folder}: this student is not finished ({record.status or 'not begun'}).")
    return Trained(config.key, record.folder, config, record.metrics, record.history(), not pending(record.folder))


def _tags(setup: Setup) -> dict[str, str]:
    config = setup.config
    return {
        "selkd.name": config.name,
        "selkd.objective": config.objective.name,
        "selkd.student": config.student.model,
        "selkd.teacher": ", ".join(teacher.card.name for teacher in setup.teachers),
        "selkd.mode": config.task.mode,
        "selkd.selection.categories": config.selection.categories.policy,
        "selkd.selection.samples": config.selection.samples.policy,
        "selkd.weighting": config.weighting.policy,
        "selkd.categories": ", ".join(setup.task.names),
        "selkd.seed": str(config.seed),
        "selkd.data": config.data.source,
    }
