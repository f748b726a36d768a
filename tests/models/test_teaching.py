"""Teaching: a taken name is refused before any training, and the same configuration gives the same teacher again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from selkd.config import Workspace
from selkd.data import load
from selkd.data.sources.arrays import from_arrays
from selkd.errors import UserError
from selkd.models.card import CARD
from selkd.training.loop import Epoch
from selkd.training.teach import teach

CONFIG: dict[str, Any] = {
    "name": "taught",
    "data": {"rows_per_category": 4},
    "student": {"model": "mlp", "hidden": [4]},
    "training": {"steps": 2, "batch_size": 8},
    "workers": {"device": "cpu"},
}


def test_a_taken_name_is_refused_before_training(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    workspace, heard = Workspace(tmp_path), []

    def hear(epoch: Epoch) -> None:
        heard.append(epoch)

    card = teach(CONFIG, workspace, on_epoch=hear)
    assert card.metrics["validation/accuracy"] == card.validation_accuracy
    assert card.metrics["validation/accuracy/three"] == card.accuracy["three"]
    first = len(heard)
    assert first > 0
    assert teach(CONFIG, workspace, on_epoch=hear) == card
    with pytest.raises(UserError, match="a different teacher 'taught' exists"):
        teach({**CONFIG, "seed": 1}, workspace, on_epoch=hear)
    assert len(heard) == first
    assert len(list(workspace.runs.iterdir())) == 1


def test_a_card_says_where_the_data_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that who compares categories by training rows finds them, from any folder."""
    workspace, images = Workspace(tmp_path / "workspace"), np.random.default_rng(0).random((24, 1, 8, 8))
    from_arrays((images, np.arange(24) % 2), categories=["cat", "dog"], name="mine", root=workspace.data)
    for category in ("cat", "dog"):
        (folder := tmp_path / "photos" / category).mkdir(parents=True)
        for number, image in enumerate(images[:12, 0]):
            Image.fromarray((255 * image).astype(np.uint8)).save(folder / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    places = {"arrays:mine": "arrays:mine", "imagefolder:photos": f"imagefolder:{tmp_path / 'photos'}"}
    for number, (source, place) in enumerate(places.items()):
        config = CONFIG | {"name": f"taught-{number}", "data": {"source": source}}
        data = teach(config, workspace).data
        assert data.name == place
        assert load(data.name, root=workspace.data).fingerprint == data.fingerprint


def test_a_teacher_whose_card_names_its_data_in_short_is_still_the_same(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    card = teach(CONFIG, workspace)
    path = workspace.teachers / "taught" / CARD
    path.write_text(json.dumps(card.model_dump(mode="json") | {"data": {**card.data.model_dump(), "name": "short"}}))
    assert teach(CONFIG, workspace).data.name == "short"
