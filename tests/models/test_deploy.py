"""A deployed student rejects by the very rule that its threshold was chosen by."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from selkd.models.deploy import Deployed, acceptance, export, load_exported
from selkd.training.metrics import open_metrics, rejection_threshold


class Given(nn.Module):
    """Logits [B, 3] as they come in: the pixels of three rows of one column."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


@pytest.fixture
def saturated() -> tuple[Tensor, Tensor]:
    """Rows that all look "not selected" by 16 to 22 nats, where 1 - p is 0 or noise in float32."""
    logits = torch.tensor([[0, -3, 16], [0, -3, 17], [-3, 0, 17.5], [0, -3, 20], [-3, 0, 21], [0, -3, 22]])
    return logits, torch.tensor([0, 0, 1, 2, 2, 2])


def test_a_threshold_among_saturated_scores_decides_as_on_validation(saturated: tuple[Tensor, Tensor]) -> None:
    logits, labels = saturated
    threshold = rejection_threshold(logits, labels)
    assert 0 < threshold < 1e-7
    assert open_metrics(logits, labels, ["a", "b"], threshold)["balanced_at_threshold"] == 1
    answer, probabilities = Deployed(Given(), 2, threshold)(logits[:, None, :, None])
    assert answer.tolist() == labels.tolist()
    assert probabilities.dtype == torch.float32


@pytest.mark.parametrize("row", range(6))
def test_a_row_at_the_threshold_is_accepted(saturated: tuple[Tensor, Tensor], row: int) -> None:
    logits, _ = saturated
    threshold = float(acceptance(logits)[row])
    answer, _ = Deployed(Given(), 2, threshold)(logits[:, None, :, None])
    assert (answer < 2).tolist() == (acceptance(logits) >= threshold).tolist()
    assert answer[row] < 2


def test_the_exported_program_keeps_the_rule(saturated: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    logits, labels = saturated
    export(Deployed(Given(), 2, rejection_threshold(logits, labels)), {}, (1, 3, 1), tmp_path / "student.pt2")
    program, _ = load_exported(tmp_path / "student.pt2")
    assert program(logits[:, None, :, None])[0].tolist() == labels.tolist()
