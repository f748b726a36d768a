"""A finished student as a folder: weights, and a card that says how to rebuild and read them."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator
from torch import Tensor

from selkd.data.tasks import NOT_SELECTED
from selkd.errors import UserError
from selkd.files import checksum, read_json, write_json
from selkd.models import build
from selkd.models.classifier import Classifier
from selkd.models.weights import load_weights, read_weights, write_weights

WEIGHTS = "weights.safetensors"
CARD = "card.json"
REMEDY = "Restore the file, or train the student again."


class StudentCard(BaseModel):
    """Everything about a student except its weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    categories: tuple[str, ...] = Field(min_length=1)
    mode: Literal["closed", "open"]
    architecture: str
    settings: dict[str, Any]
    channels: int = Field(ge=1)
    image_size: int = Field(ge=1)
    mean: tuple[FiniteFloat, ...]
    std: tuple[Annotated[FiniteFloat, Field(gt=0)], ...]
    threshold: FiniteFloat | None = None
    weights_sha256: str = Field(default="", description="Filled in when the student is saved.")

    @model_validator(mode="after")
    def _agrees(self) -> "StudentCard":
        if len(set(self.categories)) != len(self.categories):
            raise ValueError("categories: a name occurs twice")
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(f"mean and std: expected {self.channels} values, one a channel")
        return self

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the network's outputs."""
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
    card = read_card(folder / CARD)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise UserError(f"{weights}: missing. {REMEDY}")
    if checksum(weights) != card.weights_sha256:
        raise UserError(f"{weights}: does not match the checksum in {CARD}. {REMEDY}")
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they are
        network = build(
            card.architecture,
            channels=card.channels,
            outputs=len(card.outputs),
            image_size=card.image_size,
            **card.settings,
        )
    load_weights(network, read_weights(weights), str(weights))
    return Classifier(network, card.mean, card.std).eval(), card


def read_card(path: Path) -> StudentCard:
    """A student's card from its file."""
    try:
        return StudentCard.model_validate(read_json(path))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
        raise UserError(f"{path}: not a student's card ({faults}).") from None


def columns(card: StudentCard) -> dict[str, str]:
    """What `answers` says of an image: column names and their types in MLflow."""
    return {"category": "string", "rejected": "boolean"} | {f"p/{name}": "float" for name in card.outputs}


def answers(card: StudentCard, answer: Tensor, probabilities: Tensor) -> pd.DataFrame:
    """Answers [B] and probabilities [B, o] as a row an image."""
    names = (*card.categories, NOT_SELECTED)
    chosen = {"category": [names[k] for k in answer.tolist()], "rejected": (answer == len(card.categories)).numpy()}
    return pd.DataFrame(
        chosen | {f"p/{name}": p.numpy() for name, p in zip(card.outputs, probabilities.T, strict=True)}
    )
