"""Train one student from a configuration, and record it."""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from filelock import FileLock, Timeout

from selkd.config import RunConfig, Workspace
from selkd.errors import UserError
from selkd.files import cannot_write, writing
from selkd.models.classifier import Classifier
from selkd.tracking import Courier, StudentCard, TrialRecord, pending, provenance, save_student, tracking_uri
from selkd.tracking.figures import confusion_figure, curves_figure, open_set_figure
from selkd.training.checkpoints import Checkpoints
from selkd.training.evaluation import SCORES, costs, probe, scored, scored_teacher
from selkd.training.loop import Epoch, Loop
from selkd.training.setup import Setup, device_of
from selkd.training.workers import Workers

DELIVERY_PATIENCE = 20.0
LOCK = ".lock"


@dataclass(frozen=True)
class Trained:
    """A finished student, read from its record."""

    key: str
    folder: Path
    config: RunConfig
    metrics: dict[str, float]
    history: pd.DataFrame
    delivered: bool

    @property
    def student(self) -> Path:
        return self.folder / "student"


def train(
    config: RunConfig | Mapping[str, Any] | str | Path,
    workspace: Workspace | None = None,
    *,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    fresh: bool = False,
) -> Trained:
    """Train the student that `config` describes. A finished one is returned, an unfinished one is resumed."""
    config, workspace = RunConfig.of(config), workspace or Workspace.default()
    folder = workspace.runs / config.key
    with _alone(folder):
        if fresh:
            _forget(folder)
        if TrialRecord(folder).status != "finished":
            if config.workers.count == 1:
                work(config, workspace, Workers(), on_epoch)
            else:
                from selkd.training.ray_entry import train_with_ray

                train_with_ray(config, workspace, on_epoch)
    return result(workspace, config)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the trial's folder, so that no other process trains the same student."""
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise UserError(
            f"{folder}: another process trains this student. Wait for it, or change name or seed."
        ) from None
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        yield
    finally:
        lock.release()


def _forget(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def work(config: RunConfig, workspace: Workspace, workers: Workers, on_epoch: Callable[[Epoch], None]) -> None:
    """One worker's part of training a student; the first worker also keeps the record."""
    torch.set_num_threads(config.training.threads)
    folder = workspace.runs / config.key
    if not workers.first:
        _conclude(*fit(config, workspace, workers, on_epoch), None)
        return
    record = TrialRecord(folder)
    record.begin(config.key, config.name, config.model_dump(mode="json"), _tags(config), provenance())
    courier = Courier(folder, tracking_uri(workspace.root), config.experiment)

    def report(epoch: Epoch) -> None:
        record.log(epoch.epoch, epoch.metrics)
        courier.poke()
        on_epoch(epoch)

    try:
        _conclude(*fit(config, workspace, workers, report), record)
    except KeyboardInterrupt:
        record.finish("stopped", {}, "interrupted; the same command resumes")
        raise
    except Exception as error:
        record.finish("failed", {}, f"{type(error).__name__}: {error}")
        raise
    finally:
        courier.close(DELIVERY_PATIENCE)


def fit(
    config: RunConfig, workspace: Workspace, workers: Workers, report: Callable[[Epoch], None], *, keep: bool = True
) -> tuple[Setup, Classifier]:
    """Train the student; with `keep`, checkpoints are written and the last one is where it goes on."""
    assert keep or config.training.keep == "last", "the best epoch is found in a checkpoint"
    setup = Setup.of(config, workspace, workers, device_of(config))
    batches = setup.batches()
    student = setup.shared(setup.student())
    validation = setup.splits.validation
    loop = Loop(
        model=student,
        objective=setup.objective(batches.counts),
        batches=batches,
        validate=lambda model: scored(setup, model, validation).metrics(),
        score=SCORES[config.task.mode],
        optimiser=config.training.optimiser,
        schedule=config.training.schedule,
        total_steps=config.training.steps or len(batches) * (config.training.epochs or 0),
        device=setup.device,
        workers=workers,
        precision=config.training.precision,
        clip=config.training.clip,
        accumulate=config.training.accumulate,
        keys=setup.keys,
        seed=config.seed,
    )
    checkpoints = Checkpoints(workspace.runs / config.key / "checkpoints") if keep else None
    loop.fit(checkpoints, report)
    if checkpoints is not None and config.training.keep == "best" and (best := checkpoints.best()) is not None:
        student.load_state_dict(
            {k.removeprefix("model."): v for k, v in best["trained"].items() if k.startswith("model.")}
        )
    return setup, student


def _conclude(setup: Setup, student: Classifier, record: TrialRecord | None) -> None:
    """Score the finished student, read the test split once, and write what later comparisons need."""
    validation = scored(setup, student, setup.splits.validation)
    threshold = validation.threshold()
    if record is not None:
        record.count_test_read()
    test = scored(setup, student, setup.splits.test)
    probed = probe(setup, student)
    if record is None:
        return
    found = {f"validation/{k}": v for k, v in validation.metrics(threshold).items()}
    found |= {f"test/{k}": v for k, v in test.metrics(threshold).items()}
    if setup.teacher is not None:
        for part in ("validation", "test"):
            found |= {f"teacher/{part}/{k}": v for k, v in scored_teacher(setup, part).metrics().items()}
    found |= costs(setup, student)
    if threshold is not None:
        found["threshold"] = threshold
    for name, frame in {
        "predictions-validation": validation.frame(),
        "predictions-test": test.frame(),
        "probe": probed,
    }.items():
        path = record.folder / f"{name}.parquet"
        with writing(path) as part:
            frame.to_parquet(part, index=False)
        record.artifact(path)
    figures = {"confusion-test": confusion_figure(test.confusion(), setup.task.output_names)}
    figures["curves"] = curves_figure(record.history())
    if setup.task.mode == "open":
        k = setup.task.k
        right = test.logits[:, :k].argmax(1) == test.labels
        figures["open-set-test"] = open_set_figure(1 - test.logits.softmax(1)[:, -1], test.labels < k, right)
    for name, figure in figures.items():
        path = record.folder / "figures" / f"{name}.png"
        with writing(path) as part:
            figure.savefig(part, format="png", dpi=150)
        record.artifact(path, "figures")
    save_student(record.folder / "student", student, student_card(setup, threshold))
    record.finish("finished", found, None)


def student_card(setup: Setup, threshold: float | None) -> StudentCard:
    shape = setup.dataset.train.shape
    return StudentCard(
        categories=setup.task.names,
        mode=setup.task.mode,
        architecture=setup.config.student.model,
        settings=setup.config.student.extra,
        channels=shape[0],
        image_size=shape[-1],
        mean=setup.dataset.mean,
        std=setup.dataset.std,
        threshold=threshold,
    )


def result(workspace: Workspace, config: RunConfig) -> Trained:
    """The finished student of a configuration, read from its record."""
    record = TrialRecord(workspace.runs / config.key)
    if record.status != "finished":
        raise UserError(f"{record.folder}: this student is not finished ({record.status or 'not begun'}).")
    return Trained(config.key, record.folder, config, record.metrics, record.history(), not pending(record.folder))


def _tags(config: RunConfig) -> dict[str, str]:
    chosen = config.task.categories
    return {
        "selkd.name": config.name,
        "selkd.objective": config.objective.name,
        "selkd.student": config.student.model,
        "selkd.teacher": config.teacher or "",
        "selkd.mode": config.task.mode,
        "selkd.categories": chosen if isinstance(chosen, str) else ", ".join(map(str, chosen)),
        "selkd.seed": str(config.seed),
        "selkd.data": config.data.source,
    }
