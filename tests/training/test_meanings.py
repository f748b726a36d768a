"""Features that describe categories are those of training rows, whichever network sees them."""

from pathlib import Path
from typing import Any

import pytest
import torch

from selkd import models
from selkd.config import RunConfig, Workspace
from selkd.data import load, split
from selkd.errors import UserError
from selkd.models.classifier import Classifier
from selkd.models.teachers import Teacher, TeacherRepository
from selkd.training.meanings import Known, Meanings

CPU = torch.device("cpu")


def add(workspace: Workspace, name: str, categories: tuple[str, ...], data: dict[str, str], side: int = 8) -> Teacher:
    repository = TeacherRepository(workspace.teachers)
    torch.manual_seed(len(categories))
    network = models.build("mlp", channels=1, outputs=len(categories), image_size=side, hidden=[6])
    repository.save(
        name, Classifier(network, [0.3], [0.3]), categories=categories, architecture="mlp", settings={"hidden": [6]},
        channels=1, image_size=side, data=data, accuracy={}, validation_accuracy=0.5,
    )  # fmt: skip
    return repository.load(name)


def meanings(workspace: Workspace, source: dict[str, Any]) -> Meanings:
    config = RunConfig.model_validate({"semantics": source})
    dataset = load("digits", root=workspace.data)
    train = split(dataset, validation=0.1, test=0.2, seed=0, rows_per_category=20).train
    return Meanings(config, workspace, dataset, train, CPU, Known(TeacherRepository(workspace.teachers).load))


@pytest.fixture
def digits(tmp_path: Path) -> dict[str, str]:
    return {"name": "digits", "fingerprint": load("digits", root=tmp_path / "data").fingerprint}


@pytest.mark.parametrize("seen", ["as the run sees them", "at another size"])
def test_one_encoder_gives_equal_categories_equal_prototypes(tmp_path: Path, digits: dict[str, str], seen: str) -> None:
    """Of the same data, whichever way a teacher reads them, the rows shown are the run's own training rows."""
    workspace = Workspace(tmp_path)
    add(workspace, "encoder", ("x", "y"), {"name": "other", "fingerprint": ""}, side=5)
    other = {"fingerprint": "of other pixels"} if seen == "at another size" else {}
    teacher = add(workspace, "t", ("five", "two"), digits | other)
    found = meanings(workspace, {"source": "prototypes", "encoder": "encoder", "rows": 7})
    costs, names = found.costs(teacher), found.dataset.categories
    for row, name in enumerate(teacher.card.categories):
        assert costs.between[row].argmin() == names.index(name)
        assert costs.between[row].min() < 1e-9


def test_classifier_rows_meet_mean_features_of_training_rows(tmp_path: Path, digits: dict[str, str]) -> None:
    workspace = Workspace(tmp_path)
    teacher = add(workspace, "t", ("a", "b", "c"), digits)
    found = meanings(workspace, {"source": "classifier-rows", "rows": 20})
    assert len(found.train) == 200
    seen = teacher.features(found.train.pixels(torch.arange(200)).float() / 255).double()
    ours = torch.stack([seen[found.train.labels == k].mean(0) for k in range(10)])
    a, b = teacher.rows.double() - teacher.rows.double().mean(0), ours - ours.mean(0)
    expected = 1 - torch.nn.functional.cosine_similarity(a[:, None], b[None], dim=2)
    torch.testing.assert_close(found.costs(teacher).between, expected, rtol=1e-5, atol=1e-6)


def test_data_of_a_teacher_that_are_not_here_are_named(tmp_path: Path, digits: dict[str, str]) -> None:
    workspace = Workspace(tmp_path)
    far = add(workspace, "far", ("a", "b"), {"name": "arrays:lost", "fingerprint": "1"})
    odd = add(workspace, "odd", ("two", "wug"), digits)
    found = meanings(workspace, {"source": "prototypes", "encoder": "odd"})
    with pytest.raises(UserError, match="data of teacher 'far' are not here"):
        found.costs(far)
    with pytest.raises(UserError, match="'odd' have no category wug"):
        found.costs(odd)
    with pytest.raises(UserError, match="no teacher 'nobody'"):
        meanings(workspace, {"source": "prototypes", "encoder": "nobody"}).costs(odd)
