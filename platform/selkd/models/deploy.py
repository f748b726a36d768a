"""A finished student as users call it: from images in [0, 1] to an answer, with its threshold inside."""

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from selkd.errors import UserError
from selkd.files import writing

CARD = "card.json"


def acceptance(logits: Tensor) -> Tensor:
    """1 - p(not selected) of logits [N, k + 1], without cancellation: the number that a threshold is compared with."""
    logits = logits.double()
    return (logits[:, :-1].logsumexp(1) - logits[:, -1]).sigmoid()


class Deployed(nn.Module):
    """Images [B, C, H, W] in [0, 1] to (answer [B], probabilities [B, o]); answer k means "not selected".

    An open student rejects a row whose acceptance is below the threshold set on validation.
    """

    def __init__(self, classifier: nn.Module, selected: int, threshold: float | None) -> None:
        super().__init__()
        self.classifier, self.selected = classifier, selected
        self.threshold = threshold

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.classifier(images)
        answer = logits[:, : self.selected].argmax(1)
        if self.threshold is not None:
            answer = torch.where(acceptance(logits) < self.threshold, self.selected, answer)
        return answer, logits.softmax(1)


def export(student: Deployed, card: dict[str, object], shape: tuple[int, int, int], path: Path) -> float:
    """Write a torch.export program with its card; return the largest difference from the student, having checked it."""
    student = student.cpu().float().eval()
    images = torch.rand(4, *shape, generator=torch.Generator().manual_seed(0))
    program = torch.export.export(student, (images,), dynamic_shapes=({0: torch.export.Dim("rows", min=1)},))
    with writing(path) as part:
        named = part.with_suffix(".pt2")
        try:
            torch.export.save(program, named, extra_files={CARD: json.dumps(card)})
            difference = _difference(named, student, shape)
            named.replace(part)
        finally:
            named.unlink(missing_ok=True)
    return difference


def load_exported(path: Path) -> tuple[nn.Module, dict[str, object]]:
    """An exported student and its card."""
    extra = {CARD: ""}
    try:
        program = torch.export.load(path, extra_files=extra)
    except Exception as error:
        raise UserError(f"{path}: not an exported student ({error}).") from None
    return program.module(), json.loads(extra[CARD])


@torch.no_grad()
def _difference(path: Path, student: Deployed, shape: tuple[int, int, int]) -> float:
    exported, _ = load_exported(path)
    worst = 0.0
    for rows in (1, 7):
        images = torch.rand(rows, *shape, generator=torch.Generator().manual_seed(rows))
        (ours, theirs), (answer, probabilities) = student(images), exported(images)
        if not torch.equal(ours, answer) or (theirs - probabilities).abs().max() > 1e-5:
            raise UserError(f"{path}: the exported program answers differently from the student; nothing was written.")
        worst = max(worst, float((theirs - probabilities).abs().max()))
    return worst
