"""Teaching: a taken name is refused before any training, and the same configuration gives the same teacher again."""

from pathlib import Path
from typing import Any

import pytest
import torch

from selkd.config import Workspace
from selkd.errors import UserError
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
