"""The teacher repository: a folder a teacher, with its weights and a card that says what they are."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator
from torch import Tensor, nn

from selkd.errors import UserError, nearest
from selkd.files import checksum, fingerprint, write_json, writing_folder
from selkd.models.card import CARD, WEIGHTS, NetworkCard, card_faults, read_card, rebuild
from selkd.models.classifier import Classifier
from selkd.models.registry import check
from selkd.models.weights import load_weights, read_weights, write_weights

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
REMEDY = "Delete the folder, then train or import the teacher again."


class DataCard(BaseModel):
    """The data a teacher was trained on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    fingerprint: str


class TeacherCard(NetworkCard):
    """Everything about a teacher except its weights."""

    name: str = Field(pattern=NAME)
    data: DataCard
    accuracy: dict[str, FiniteFloat] = Field(description="Validation accuracy by category.")
    validation_accuracy: FiniteFloat
    created_by: str

    @model_validator(mode="after")
    def _knows_what_it_scores(self) -> "TeacherCard":
        if unknown := set(self.accuracy) - set(self.categories):
            raise ValueError(f"accuracy: {', '.join(sorted(unknown))} not among the categories")
        return self

    @property
    def metrics(self) -> dict[str, float]:
        """What the teacher scores, named as in the record of a run."""
        each = {f"validation/accuracy/{name}": value for name, value in self.accuracy.items()}
        return {"validation/accuracy": self.validation_accuracy, **each}

    @property
    def fingerprint(self) -> str:
        """Equal for teachers that answer alike: weights, architecture and normalisation."""
        decides = {"weights_sha256", "architecture", "settings", "channels", "image_size", "mean", "std"}
        return fingerprint(self.model_dump(mode="json", include=decides))


class Teacher:
    """A card, and the frozen classifier it describes: built when it is first asked."""

    def __init__(self, card: TeacherCard, build: Callable[[], Classifier]) -> None:
        self.card = card
        self._build = build

    @cached_property
    def classifier(self) -> Classifier:
        return self._build().requires_grad_(False).eval()

    @property
    def fingerprint(self) -> str:
        return self.card.fingerprint

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Logits [B, K] of images in [0, 1], computed in the teacher's own precision."""
        return self.classifier(images.to(self.classifier.mean))


class TeacherRepository:
    """Teachers by name under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def names(self) -> list[str]:
        if not self.root.is_dir():
            return []
        return sorted(path.name for path in self.root.iterdir() if path.is_dir() and re.fullmatch(NAME, path.name))

    def path(self, name: str) -> Path:
        if not re.fullmatch(NAME, name):
            raise UserError(f"teacher {name!r}: a name has letters, digits, dots, dashes and underscores, at most 100.")
        return self.root / name

    def save(
        self,
        name: str,
        classifier: Classifier,
        *,
        categories: Sequence[str],
        architecture: str,
        settings: Mapping[str, Any],
        channels: int,
        image_size: int,
        data: Mapping[str, str],
        accuracy: Mapping[str, float],
        validation_accuracy: float,
    ) -> TeacherCard:
        """Keep a classifier as a teacher. Saving the same teacher again changes nothing; another one is refused."""
        mean, std = classifier.mean.flatten().tolist(), classifier.std.flatten().tolist()
        with writing_folder(self.path(name)) as part:
            write_weights(part / WEIGHTS, classifier.network)
            try:
                card = TeacherCard(
                    name=name,
                    categories=tuple(categories),
                    architecture=architecture,
                    settings=check(architecture, settings).model_dump(mode="json"),
                    channels=channels,
                    image_size=image_size,
                    mean=tuple(mean),
                    std=tuple(std),
                    data=DataCard.model_validate(data),
                    weights_sha256=checksum(part / WEIGHTS),
                    accuracy=dict(accuracy),
                    validation_accuracy=validation_accuracy,
                    created_by=f"selkd {version('selkd')}",
                )
            except ValidationError as error:
                raise UserError(f"teacher {name!r}: {card_faults(error)}") from None
            write_json(part / CARD, card.model_dump(mode="json"))
            rebuild(card, part, REMEDY)
        if self._card(name) != card:
            raise UserError(f"a different teacher {name!r} exists. Choose another name or delete {self.path(name)}.")
        return card

    @staticmethod
    def read_weights(network: nn.Module, file: Path) -> None:
        """Put weights trained elsewhere into `network`: safetensors, or a state dict that `torch.save` wrote."""
        load_weights(network, read_weights(file), str(file))

    def load(self, name: str, device: torch.device | str = "cpu") -> Teacher:
        """The teacher `name`; its weights are read, and checked against its card, when it is first asked."""
        if name not in self.names():
            raise UserError(
                f"no teacher {name!r} in {self.root}. {nearest(name, self.names())} `selkd teach` makes one."
            )
        card = self._card(name)
        return Teacher(card, lambda: rebuild(card, self.path(name), REMEDY).to(device))

    def _card(self, name: str) -> TeacherCard:
        path = self.path(name) / CARD
        card = read_card(TeacherCard, path, REMEDY)
        if card.name != name:
            raise UserError(f"{path}: the card is that of teacher {card.name!r}. {REMEDY}")
        return card
