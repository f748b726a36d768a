"""The teacher repository: a folder a teacher, with its weights and a card that says what they are."""

import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from selkd.errors import UserError, nearest
from selkd.files import cannot_write, checksum, fingerprint, write_json, writing_folder
from selkd.models.adapt import fitted
from selkd.models.card import CARD, WEIGHTS, NetworkCard, card_faults, read_card, rebuild
from selkd.models.classifier import Classifier
from selkd.models.features import features, head_of
from selkd.models.registry import build, check
from selkd.models.weights import load_weights, read_weights, write_weights
from selkd.store import store

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
Head = Literal["softmax", "sigmoid"]
REMEDY = "Remove it with `selkd teachers remove`, then train or import the teacher again."


class DataCard(BaseModel):
    """The data a teacher was trained on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    fingerprint: str


class TeacherDescription(NetworkCard):
    """What is told of a network that is to become a teacher."""

    data: DataCard
    accuracy: dict[str, FiniteFloat] = Field(description="Validation accuracy by category.")
    validation_accuracy: FiniteFloat
    head: Head = Field(
        default="softmax",
        description="How outputs are read: as a softmax over the categories, or `sigmoid`, a yes or no for each.",
    )

    @model_validator(mode="after")
    def _knows_what_it_scores(self) -> "TeacherDescription":
        if unknown := set(self.accuracy) - set(self.categories):
            raise ValueError(f"accuracy: {', '.join(sorted(unknown))} not among the categories")
        return self


class TeacherCard(TeacherDescription):
    """Everything about a teacher except its weights."""

    name: str = Field(pattern=NAME)
    created_by: str

    @property
    def metrics(self) -> dict[str, float]:
        """What the teacher scores, named as in the record of a run."""
        each = {f"validation/accuracy/{name}": value for name, value in self.accuracy.items()}
        return {"validation/accuracy": self.validation_accuracy, **each}

    @property
    def fingerprint(self) -> str:
        """Equal for teachers that answer alike: weights, architecture, normalisation, and how outputs are read."""
        decides = {"weights_sha256", "architecture", "settings", "channels", "image_size", "mean", "std"}
        decides |= set() if self.head == "softmax" else {"head"}  # cards without a head keep their fingerprints
        return fingerprint(self.model_dump(mode="json", include=decides))


class Teacher:
    """A card, and the frozen classifier it describes: built when it is first asked."""

    def __init__(self, card: TeacherCard, build: Callable[[], Classifier]) -> None:
        self.card = card
        self.shown = 0  # rows so far: forward passes
        self._build = build

    @cached_property
    def classifier(self) -> Classifier:
        return self._build().requires_grad_(False).eval()

    @property
    def fingerprint(self) -> str:
        return self.card.fingerprint

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Logits [B, K] of images in [0, 1] of any shape, computed in the teacher's own precision.

        Of a sigmoid head they are log(s_k / sum s), s_k = sigmoid(output k), so that everybody reads a distribution.
        """
        found = self.classifier(self._fitted(images).to(self.classifier.mean))
        if not found.isfinite().all():
            raise UserError(
                f"teacher {self.card.name!r} gives outputs that are not finite: its weights, or mean and std of its "
                "card, do not fit these images. Train or import it again, or choose another teacher."
            )
        return found if self.card.head == "softmax" else F.logsigmoid(found).log_softmax(1)

    def features(self, images: Tensor) -> Tensor:
        """What the last layer reads [B, d] of images in [0, 1] of any shape."""
        return features(self.classifier, len(self.card.categories), self._fitted(images))

    @property
    def rows(self) -> Tensor:
        """The last layer's rows [K, d]."""
        return head_of(self.classifier, len(self.card.categories)).weight.detach()

    def _fitted(self, images: Tensor) -> Tensor:
        self.shown += len(images)
        return fitted(images, self.card.channels, self.card.image_size)


class TeacherRepository:
    """Teachers by name under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def names(self) -> list[str]:
        here = self.root.iterdir() if self.root.is_dir() else ()
        folders = {path.name for path in here if path.is_dir()}
        return sorted(name for name in folders | store().names("teachers") if re.fullmatch(NAME, name))

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
        head: Head = "softmax",
    ) -> TeacherCard:
        """Keep a classifier as a teacher. Saving the same teacher again changes nothing; another one is refused."""
        mean, std = classifier.mean.flatten().tolist(), classifier.std.flatten().tolist()
        store().fetch(self.path(name))
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
                    head=head,
                    created_by=f"selkd {version('selkd')}",
                )
            except ValidationError as error:
                raise UserError(f"teacher {name!r}: {card_faults(error)}") from None
            write_json(part / CARD, card.model_dump(mode="json"))
            rebuild(card, part, REMEDY)
        kept = self._card(name)
        equal_data = bool(card.data.fingerprint) and kept.data.fingerprint == card.data.fingerprint
        if card != (kept.model_copy(update={"data": card.data}) if equal_data else kept):  # wherever they lie by now
            raise UserError(
                f"a different teacher {name!r} exists. Choose another name, or `selkd teachers remove {name}`."
            )
        store().keep(self.path(name))
        return kept

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
        return Teacher(card, lambda: rebuild(card, self.path(name), REMEDY).placed(device))

    def cards(self) -> tuple[dict[str, TeacherCard], dict[str, str]]:
        """The teachers that can be read, and of every other one the reason; no weights are read."""
        cards: dict[str, TeacherCard] = {}
        broken: dict[str, str] = {}
        for name in self.names():
            weights = self.path(name) / WEIGHTS
            try:
                card = self._card(name)
            except UserError as error:
                broken[name] = str(error)
                continue
            if weights.is_file():
                cards[name] = card
            else:
                broken[name] = f"{weights}: missing. {REMEDY}"
        return cards, broken

    def fault(self, name: str) -> str | None:
        """What is wrong with a teacher, weights included; nothing where it is whole."""
        try:
            _ = self.load(name).classifier
        except UserError as error:
            return str(error)
        return None

    def add(self, name: str, weights: Path, description: TeacherDescription) -> TeacherCard:
        """Keep a file of weights as the teacher `name` that the description tells of."""
        found = description.weights_sha256
        if found and weights.is_file() and checksum(weights) != found:
            raise UserError(
                f"{weights}: does not match weights_sha256 of its description: changed, damaged or cut off."
            )
        network = build(
            description.architecture,
            channels=description.channels,
            outputs=len(description.categories),
            image_size=description.image_size,
            **description.settings,
        )
        self.read_weights(network, weights)
        told = description.model_dump(
            include={"categories", "architecture", "settings", "channels", "image_size", "data"}
            | {"accuracy", "validation_accuracy", "head"}
        )
        return self.save(name, Classifier(network, description.mean, description.std), **told)

    def remove(self, name: str) -> None:
        """Forget a teacher, broken or not: it disappears in one step."""
        path = self.path(name)
        if name not in self.names():
            raise UserError(f"no teacher {name!r} in {self.root}. {nearest(name, self.names())}")
        store().forget(path)
        gone = path.with_name(f".{name}.removed-{os.getpid()}")
        try:
            if not path.exists():
                return
            path.rename(gone)
            gone.unlink() if gone.is_symlink() else shutil.rmtree(gone)
        except OSError as error:
            raise cannot_write(path, error) from error

    def _card(self, name: str) -> TeacherCard:
        path = self.path(name) / CARD
        if not path.parent.exists():
            store().fetch(path.parent)
        card = read_card(TeacherCard, path, REMEDY)
        if card.name != name:
            raise UserError(f"{path}: the card is that of teacher {card.name!r}. {REMEDY}")
        return card
