"""Semantics that users bring as files: vectors of categories, a hierarchy, or the costs themselves."""

import csv
from collections.abc import Collection
from pathlib import Path
from typing import ClassVar

import torch
from pydantic import Field, field_validator
from torch import Tensor

from selkd.errors import UserError
from selkd.files import read_json
from selkd.semantics.base import (
    Costs,
    Embedded,
    Embeddings,
    EmbeddingSettings,
    Labels,
    Semantics,
    SemanticsSettings,
    refuse_missing,
    register,
)
from selkd.transport import ground_cost


class FileSettings(SemanticsSettings):
    """Settings of sources that read a file."""

    file: Path = Field(description="File that describes the categories.")

    @field_validator("file")
    @classmethod
    def _absolute(cls, file: Path) -> Path:
        """Workers and later commands run in other folders."""
        return file.expanduser().absolute()


class VectorSettings(FileSettings, EmbeddingSettings):
    """Settings of `vectors`."""


@register
class Vectors(Embedded):
    """Vectors of a model of your own: a CSV file with a name and its numbers in each line."""

    name: ClassVar[str] = "vectors"
    Settings = VectorSettings
    settings: VectorSettings

    def embed(self, labels: Labels) -> Embeddings:
        file = self.settings.file
        found = {name: _numbers(file, name, cells) for name, cells in _lines(file)}
        if len({len(vector) for vector in found.values()}) > 1:
            raise UserError(f"{file}: vectors of several lengths. Give every category as many numbers.")
        refuse_missing(self.name, labels.teacher, _lacking(file, labels, found))
        theirs, ours = ([found[name] for name in names] for names in (labels.theirs, labels.ours))
        return torch.tensor(theirs, dtype=torch.float64), torch.tensor(ours, dtype=torch.float64)


@register
class Hierarchy(Semantics):
    """The number of edges between two categories in a tree: a JSON file from names to their places.

    `{"cat": "animal/mammal", "trout": "animal/fish"}`: from cat to trout it is four edges.
    """

    name: ClassVar[str] = "hierarchy"
    Settings = FileSettings
    settings: FileSettings

    def costs(self, labels: Labels) -> Costs:
        file = self.settings.file
        places = read_json(file)
        if not isinstance(places, dict) or not all(isinstance(place, str) for place in places.values()):
            raise UserError(f'{file}: expected names and their places, such as {{"cat": "animal/mammal"}}.')
        refuse_missing(self.name, labels.teacher, _lacking(file, labels, places))
        theirs, ours = (
            [[*filter(None, places[name].split("/")), name] for name in names] for names in (labels.theirs, labels.ours)
        )
        pairs = ((theirs, ours), (theirs, theirs), (ours, ours))
        return Costs(*(ground_cost(*pair, "hierarchy").double() for pair in pairs))


@register
class Matrix(Semantics):
    """Your own costs: a CSV table, the teachers' categories before its lines, the data's above its columns.

    Costs within each list are read where the table has them, which the debiased distance needs.
    """

    name: ClassVar[str] = "matrix"
    Settings = FileSettings
    settings: FileSettings

    def costs(self, labels: Labels) -> Costs:
        file = self.settings.file
        (_, columns), *lines = _lines(file)
        if len(set(columns)) != len(columns):
            raise UserError(f"{file}: a category has two columns. Name each once.")
        table: dict[str, dict[str, float]] = {}
        for name, cells in lines:
            if len(cells) != len(columns):
                raise UserError(f"{file}: {name!r} has {len(cells)} costs for {len(columns)} columns.")
            table[name] = dict(zip(columns, _numbers(file, name, cells), strict=True))
            if min(table[name].values(), default=0) < 0:
                raise UserError(f"{file}: {name!r} has a negative cost. Costs are zero or more.")
        missing = {
            f"{file} has no lines of": [name for name in labels.theirs if name not in table],
            f"{file} has no columns of": [name for name in labels.ours if name not in columns],
        }
        refuse_missing(self.name, labels.teacher, missing)
        within = [self._within(table, set(columns), names) for names in (labels.theirs, labels.ours)]
        return Costs(_block(table, labels.theirs, labels.ours), *within)

    @staticmethod
    def _within(table: dict[str, dict[str, float]], columns: set[str], names: tuple[str, ...]) -> Tensor | None:
        return _block(table, names, names) if all(name in table and name in columns for name in names) else None


def _lacking(file: Path, labels: Labels, known: Collection[str]) -> dict[str, list[str]]:
    return {f"{file} lacks": [name for name in (*labels.theirs, *labels.ours) if name not in known]}


def _block(table: dict[str, dict[str, float]], rows: tuple[str, ...], columns: tuple[str, ...]) -> Tensor:
    return torch.tensor([[table[row][column] for column in columns] for row in rows], dtype=torch.float64)


def _lines(file: Path) -> list[tuple[str, list[str]]]:
    """The first cell of every line, and the others."""
    try:
        with file.open(newline="", encoding="utf-8") as opened:
            found = [(line[0], line[1:]) for line in csv.reader(opened) if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file}: cannot be read as CSV ({error}).") from None
    names = [name for name, _ in found]
    if len(found) < 2:
        raise UserError(f"{file}: fewer than two lines. Give one a category.")
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise UserError(f"{file}: {repeated!r} has two lines. Name each category once.")
    return found


def _numbers(file: Path, name: str, cells: list[str]) -> list[float]:
    try:
        found = [float(cell) for cell in cells]
    except ValueError as error:
        raise UserError(f"{file}: the line of {name!r}: {error}.") from None
    if not torch.tensor(found).isfinite().all():
        raise UserError(f"{file}: the line of {name!r} has a value that is not finite.")
    return found
