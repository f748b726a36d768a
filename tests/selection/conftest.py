"""A small teacher of the digits and a workspace that holds it."""

from pathlib import Path

import pytest
import torch

from selkd import models
from selkd.config import Workspace
from selkd.data import load
from selkd.models.classifier import Classifier
from selkd.models.teachers import TeacherRepository


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace whose repository holds `untrained`, a teacher of the digits with random weights."""
    workspace = Workspace(tmp_path)
    data = load("digits", root=workspace.data)
    torch.manual_seed(7)
    network = models.build("mlp", channels=1, outputs=10, image_size=8, hidden=[8])
    TeacherRepository(workspace.teachers).save(
        "untrained",
        Classifier(network, data.mean, data.std),
        categories=data.categories,
        architecture="mlp",
        settings={"hidden": [8]},
        channels=1,
        image_size=8,
        data={"name": "digits", "fingerprint": data.fingerprint},
        accuracy=dict.fromkeys(data.categories, 0.1),
        validation_accuracy=0.1,
    )
    return workspace
