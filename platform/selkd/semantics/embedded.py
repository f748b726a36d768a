"""Semantics of what networks see: prototypes from a shared encoder, and a teacher's own classifier rows."""

from typing import ClassVar

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from selkd.semantics.base import Embedded, Embeddings, EmbeddingSettings, Labels, register


class RowsSettings(EmbeddingSettings):
    """Settings of sources that look at training rows."""

    rows: int = Field(default=50, ge=1, description="Training rows of each category that are looked at, at most.")


class PrototypeSettings(RowsSettings):
    """Settings of `prototypes`."""

    encoder: str = Field(description="Teacher of the workspace whose features describe all categories.")


@register
class Prototypes(Embedded):
    """Mean features of each category under one teacher, the same for all: it sees the teachers' data, too."""

    name: ClassVar[str] = "prototypes"
    Settings = PrototypeSettings
    settings: PrototypeSettings

    def embed(self, labels: Labels) -> Embeddings:
        assert labels.ask_encoder is not None
        theirs, ours = labels.ask_encoder(self.settings.encoder, self.settings.rows)
        middle = _middle(ours) if len(ours) > 1 else 0  # the same for all teachers, so that their costs compare
        return theirs - middle, ours - middle


@register
class ClassifierRows(Embedded):
    """The rows of a teacher's last layer, against its mean features of the data's categories; no data of its own.

    Both are centred and brought to length one, because they share directions and not lengths.
    """

    name: ClassVar[str] = "classifier-rows"
    Settings = RowsSettings
    settings: RowsSettings

    def embed(self, labels: Labels) -> Embeddings:
        assert labels.ask_classifier is not None
        theirs, ours = labels.ask_classifier(self.settings.rows)
        return _directions(theirs), _directions(ours)


def _directions(found: Tensor) -> Tensor:
    return F.normalize(found - _middle(found), dim=1) if len(found) > 1 else F.normalize(found, dim=1)


def _middle(found: Tensor) -> Tensor:
    """Of the categories that have features, so that those that have none can be told from the others."""
    return found[found.isfinite().all(1)].mean(0)
