"""A network in a folder: weights, and a card that says how to rebuild and read them."""

from pathlib import Path
from typing import Annotated, Any, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from selkd.errors import UserError
from selkd.files import checksum, read_json
from selkd.models.classifier import Classifier
from selkd.models.registry import build
from selkd.models.weights import load_weights, read_weights

WEIGHTS = "weights.safetensors"
CARD = "card.json"


class NetworkCard(BaseModel):
    """What a teacher's and a student's card have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    categories: tuple[str, ...] = Field(min_length=1)
    architecture: str
    settings: dict[str, Any]
    channels: int = Field(ge=1)
    image_size: int = Field(ge=1)
    mean: tuple[FiniteFloat, ...]
    std: tuple[Annotated[FiniteFloat, Field(gt=0)], ...]
    weights_sha256: str = Field(default="", description="Filled in when the weights are written.")

    @model_validator(mode="after")
    def _lists_agree(self) -> "NetworkCard":
        if len(set(self.categories)) != len(self.categories):
            raise ValueError("categories: a name occurs twice")
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(f"mean and std: expected {self.channels} values, one a channel")
        return self

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the network's outputs."""
        return self.categories


Card = TypeVar("Card", bound=NetworkCard)


def read_card(kind: type[Card], path: Path, remedy: str) -> Card:
    """A card from its file."""
    try:
        return kind.model_validate(read_json(path))
    except ValidationError as error:
        raise UserError(f"{path}: {card_faults(error)}. {remedy}") from None
    except UserError as error:
        raise UserError(f"{error}. {remedy}") from None


def card_faults(error: ValidationError) -> str:
    faults = ((".".join(map(str, fault["loc"])), fault["msg"]) for fault in error.errors(include_url=False))
    return "; ".join(f"{key}: {said}" if key else said.removeprefix("Value error, ") for key, said in faults)


def rebuild(card: NetworkCard, folder: Path, remedy: str) -> Classifier:
    """The classifier that a card describes, with the weights beside it, if they are the ones it names."""
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise UserError(f"{weights}: missing. {remedy}")
    if checksum(weights) != card.weights_sha256:
        raise UserError(f"{weights}: does not match the checksum in {CARD}: changed, damaged or cut off. {remedy}")
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they are
        network = build(
            card.architecture,
            channels=card.channels,
            outputs=len(card.outputs),
            image_size=card.image_size,
            **card.settings,
        )
    source = f"{weights}, as {card.architecture} with {len(card.outputs)} outputs"
    load_weights(network, read_weights(weights), source)
    return Classifier(network, card.mean, card.std)
