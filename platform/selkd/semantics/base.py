"""What a source of label semantics is, what it may ask, and the registry that finds it by name.

Shapes: K1 categories of the teacher, K2 of the data, d dimensions of an embedding.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from selkd.errors import UserError
from selkd.registry import Registry
from selkd.transport import ground_cost

Embeddings = tuple[Tensor, Tensor]  # [K1, d] and [K2, d], in one space


class SemanticsSettings(BaseModel):
    """Settings of a source; the bare class is that of a source without any."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class EmbeddingSettings(SemanticsSettings):
    """Settings of sources that embed categories."""

    cost: Literal["cosine", "squared"] = Field(
        default="cosine",
        description="1 - cos of two embeddings, or their squared distance.",
        json_schema_extra={"search": ["cosine", "squared"]},
    )


@dataclass(frozen=True)
class Labels:
    """Two lists of categories, and whom to ask about them; asking runs networks over training rows."""

    teacher: str
    theirs: tuple[str, ...]  # [K1]
    ours: tuple[str, ...]  # [K2]
    ask_encoder: Callable[[str, int], Embeddings] | None = None
    """Mean features of both under one network (a teacher's name), over so many rows of each category."""
    ask_classifier: Callable[[int], Embeddings] | None = None
    """The teacher's own classifier rows, and its mean features of our categories over so many rows of each."""


@dataclass(frozen=True)
class Costs:
    """What it costs to say one category for another; within each list, where that is known."""

    between: Tensor  # [K1, K2]
    theirs: Tensor | None = None  # [K1, K1]
    ours: Tensor | None = None  # [K2, K2]

    def over(self, scale: float) -> "Costs":
        """The same in another unit."""
        within = [cost if cost is None else cost / scale for cost in (self.theirs, self.ours)]
        return Costs(self.between / scale, *within)


class Semantics:
    """Tells what it costs to say one category for another."""

    name: ClassVar[str]
    Settings: ClassVar[type[SemanticsSettings]] = SemanticsSettings

    def __init__(self, settings: SemanticsSettings) -> None:
        self.settings = settings

    def costs(self, labels: Labels) -> Costs:
        raise NotImplementedError


class Embedded(Semantics):
    """A source that embeds both lists of categories in one space."""

    Settings = EmbeddingSettings

    def embed(self, labels: Labels) -> Embeddings:
        raise NotImplementedError

    def costs(self, labels: Labels) -> Costs:
        assert isinstance(self.settings, EmbeddingSettings)
        kind = self.settings.cost
        theirs, ours = (found.double() for found in self.embed(labels))
        missing: list[str] = []
        for names, found in ((labels.theirs, theirs), (labels.ours, ours)):
            odd = ~found.isfinite().all(1) | ((found == 0).all(1) & (kind == "cosine"))
            missing += [name for name, is_odd in zip(names, odd.tolist(), strict=True) if is_odd]
        refuse_missing(self.name, labels.teacher, {"no embedding, or one of zeros, of": missing})
        return Costs(ground_cost(theirs, ours, kind), ground_cost(theirs, theirs, kind), ground_cost(ours, ours, kind))


def refuse_missing(source: str, teacher: str, missing: Mapping[str, Collection[str]]) -> None:
    """Name at once every category of either list that something is missing of, by what that is."""
    told = [f"{what} {', '.join(dict.fromkeys(names))}" for what, names in missing.items() if names]
    if told:
        raise UserError(
            f"semantics.source {source!r}, teacher {teacher!r}: {'; '.join(told)}. "
            "Complete it, or choose another semantics.source."
        )


SEMANTICS: Registry[Semantics] = Registry("source of label semantics", "semantics.source")
register = SEMANTICS.register
