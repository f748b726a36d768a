"""A finished student as a folder: weights, and a card that says how to rebuild and read them."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import FiniteFloat
from torch import Tensor

from selkd.data.tasks import NOT_SELECTED
from selkd.files import checksum, write_json
from selkd.models.card import CARD, WEIGHTS, NetworkCard, read_card, rebuild
from selkd.models.classifier import Classifier
from selkd.models.weights import write_weights

if TYPE_CHECKING:
    import pandas as pd

REMEDY = "Restore the file, or train the student again."


class StudentCard(NetworkCard):
    """Everything about a student except its weights."""

    mode: Literal["closed", "open"]
    threshold: FiniteFloat | None = None

    @property
    def outputs(self) -> tuple[str, ...]:
        return (*self.categories, NOT_SELECTED) if self.mode == "open" else self.categories


def save_student(folder: Path, classifier: Classifier, card: StudentCard) -> StudentCard:
    """Write weights and card, and see that they load; the card returned names the weights."""
    write_weights(folder / WEIGHTS, classifier.network)
    card = card.model_copy(update={"weights_sha256": checksum(folder / WEIGHTS)})
    write_json(folder / CARD, card.model_dump(mode="json"))
    load_student(folder)
    return card


def load_student(folder: Path) -> tuple[Classifier, StudentCard]:
    """The student in `folder`, if its weights are those that its card names."""
    card = read_card(StudentCard, folder / CARD, REMEDY)
    return rebuild(card, folder, REMEDY).eval(), card


def columns(card: StudentCard) -> dict[str, str]:
    """What `answers` says of an image: column names and their types in MLflow."""
    return {"category": "string", "rejected": "boolean"} | {f"p/{name}": "float" for name in card.outputs}


def answers(card: StudentCard, answer: Tensor, probabilities: Tensor) -> "pd.DataFrame":
    """Answers [B] and probabilities [B, o] as a row an image."""
    import pandas as pd

    names = (*card.categories, NOT_SELECTED)
    chosen = {"category": [names[k] for k in answer.tolist()], "rejected": (answer == len(card.categories)).numpy()}
    return pd.DataFrame(
        chosen | {f"p/{name}": p.numpy() for name, p in zip(card.outputs, probabilities.T, strict=True)}
    )
