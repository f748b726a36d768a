"""Semantics of names alone: the same name or not, and names that are spelt alike."""

import re
from collections import Counter
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from selkd.semantics.base import Costs, Embedded, Embeddings, EmbeddingSettings, Labels, Semantics, register
from selkd.transport import ground_cost


def words(name: str) -> str:
    """A name's words in lower case; the name itself where it has neither letters nor digits."""
    return re.sub(r"[\W_]+", " ", name.casefold()).strip() or name


class NameSettings(EmbeddingSettings):
    """Settings of `names`."""

    characters: int = Field(
        default=3, ge=1, le=8, description="Length of the pieces of names.", json_schema_extra={"search": [2, 4]}
    )


@register
class Names(Embedded):
    """Counts of the pieces (character n-grams) of names. Weak: it knows spelling, not meaning.

    `shirt` is near `t-shirt/top`, and `cat` is as far from `kitten` as from `truck`.
    """

    name: ClassVar[str] = "names"
    Settings = NameSettings
    settings: NameSettings

    def embed(self, labels: Labels) -> Embeddings:
        pieces = [self._pieces(name) for name in (*labels.theirs, *labels.ours)]
        columns = {piece: index for index, piece in enumerate(sorted(set().union(*pieces)))}
        found = torch.zeros(len(pieces), len(columns), dtype=torch.float64)
        for row, counts in zip(found, pieces, strict=True):
            for piece, count in counts.items():
                row[columns[piece]] = count
        return found[: len(labels.theirs)], found[len(labels.theirs) :]

    def _pieces(self, name: str) -> Counter[str]:
        size = self.settings.characters
        text = f" {words(name)} ".ljust(size)
        return Counter(text[start : start + size] for start in range(len(text) - size + 1))


@register
class ZeroOne(Semantics):
    """Nothing between categories of one name, one between all others."""

    name: ClassVar[str] = "zero-one"

    def costs(self, labels: Labels) -> Costs:
        pairs = ((labels.theirs, labels.ours), (labels.theirs, labels.theirs), (labels.ours, labels.ours))
        return Costs(*(_differ(*pair) for pair in pairs))


def _differ(a: tuple[str, ...], b: tuple[str, ...]) -> Tensor:
    return ground_cost(a, b, "zero-one").double()
