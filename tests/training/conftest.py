"""A small teacher and a workspace, made once a session."""

import shutil
from pathlib import Path

import pytest
import torch

from selkd import models
from selkd.config import Workspace
from selkd.data import load
from selkd.models.classifier import Classifier
from selkd.models.teachers import TeacherRepository


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace whose repository holds `untrained`, a teacher of the digits with random weights."""
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    add_teacher(workspace)
    return workspace


def add_teacher(workspace: Workspace) -> None:
    data = load("digits", root=workspace.data)
    torch.manual_seed(7)
    network = models.build("cnn", channels=1, outputs=10, image_size=8, width=8)
    TeacherRepository(workspace.teachers).save(
        "untrained",
        Classifier(network, data.mean, data.std),
        categories=data.categories,
        architecture="cnn",
        settings={"width": 8},
        channels=1,
        image_size=8,
        data={"name": "digits", "fingerprint": data.fingerprint},
        accuracy=dict.fromkeys(data.categories, 0.1),
        validation_accuracy=0.1,
    )


@pytest.fixture
def workspace(taught: Workspace, empty_store: Path, tmp_path: Path) -> Workspace:
    """The same teacher and data, and a folder of runs and an MLflow of its own."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    for name in ("data", "teachers", "evidence"):
        getattr(taught, name).mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(getattr(taught, name))
    return Workspace(tmp_path)
