"""Teachers: trained like a student of all categories, or imported, then kept in the repository."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from selkd.config import RunConfig, Workspace
from selkd.errors import UserError
from selkd.models.classifier import Classifier
from selkd.models.teachers import TeacherCard, TeacherRepository
from selkd.tracking import TrialRecord, load_student
from selkd.training.evaluation import Scored, scored
from selkd.training.loop import Epoch
from selkd.training.run import train
from selkd.training.setup import Setup, device_of
from selkd.training.workers import Workers


def teach(
    config: RunConfig | Mapping[str, Any] | str | Path,
    workspace: Workspace | None = None,
    *,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> TeacherCard:
    """Train a teacher and keep it under the configuration's name."""
    config, workspace = RunConfig.of(config), workspace or Workspace.default()
    _all_categories(config)
    refuse_another(config, workspace)
    trained = train(config, workspace, on_epoch=on_epoch)
    classifier, _ = load_student(trained.student)
    return _keep(_setup(config, workspace), classifier)


def import_teacher(
    config: RunConfig | Mapping[str, Any] | str | Path, weights: Path, workspace: Workspace | None = None
) -> TeacherCard:
    """Keep weights from elsewhere as a teacher of the configuration's architecture and data."""
    config, workspace = RunConfig.of(config), workspace or Workspace.default()
    _all_categories(config)
    setup = _setup(config, workspace)
    classifier = setup.student()
    TeacherRepository.read_weights(classifier.network, weights)
    return _keep(setup, classifier)


def refuse_another(config: RunConfig, workspace: Workspace) -> None:
    """Refuse a taken name before any training, unless the finished run of this very configuration made the teacher."""
    teachers = TeacherRepository(workspace.teachers)
    if config.name not in teachers.names():
        return
    student = workspace.runs / config.key / "student"
    finished = TrialRecord(student.parent).status == "finished"
    if not finished or load_student(student)[1].weights_sha256 != teachers.load(config.name).card.weights_sha256:
        raise UserError(
            f"name: a different teacher {config.name!r} exists. "
            f"Choose another name, or `selkd teachers remove {config.name}`."
        )


def _keep(setup: Setup, classifier: Classifier) -> TeacherCard:
    found = scored(setup, classifier.placed(setup.device, setup.dtype), setup.splits.validation)
    accuracy = accuracy_by_category(found)
    shape = setup.dataset.train.shape
    return TeacherRepository(setup.workspace.teachers).save(
        setup.config.name,
        classifier.to("cpu", torch.float32),
        categories=setup.dataset.categories,
        architecture=setup.config.student.model,
        settings=setup.config.student.extra,
        channels=shape[0],
        image_size=shape[-1],
        data={"name": setup.config.data.source, "fingerprint": setup.dataset.fingerprint},
        accuracy=accuracy,
        validation_accuracy=found.metrics()["accuracy"],
    )


def accuracy_by_category(found: Scored) -> dict[str, float]:
    metrics = found.metrics()
    return {name: metrics[f"accuracy/{name}"] for name in found.task.names}


def _setup(config: RunConfig, workspace: Workspace) -> Setup:
    return Setup.of(config, workspace, Workers(), device_of(config))


def _all_categories(config: RunConfig) -> None:
    if config.task.categories != "all" or config.task.mode != "closed":
        raise UserError("task: a teacher knows all categories of its data. Remove `task` from its configuration.")
    if config.selection.categories.policy != "explicit":
        raise UserError("selection.categories: a teacher knows all categories of its data. Remove it.")
