"""Tasks: which categories a student must tell apart, and whether it may answer "not selected"."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from selkd.data.dataset import Dataset, Part
from selkd.errors import UserError, nearest

NOT_SELECTED = "not selected"
MODES = ("closed", "open")
Mode = Literal["closed", "open"]


@dataclass(frozen=True)
class Task:
    """Categories by name, id or superclass, in the order of the student's outputs; or all of them."""

    categories: Sequence[str | int] | Literal["all"]
    mode: Mode = "closed"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UserError(f"mode: {self.mode!r} is unknown. {nearest(str(self.mode), MODES)}")
        if self.categories == "all":
            return
        if isinstance(self.categories, str):
            raise UserError(f'categories: {self.categories!r} is one string. Give a list of names, or "all".')
        object.__setattr__(self, "categories", tuple(self.categories))
        if not self.categories:
            raise UserError('categories: the list is empty. Name at least one category, or use "all".')

    def on(self, data: Dataset | Sequence[str], superclasses: Mapping[str, Sequence[str]] | None = None) -> "TaskView":
        """This task on the categories of a data set or teacher."""
        if isinstance(data, Dataset):
            data, superclasses = data.categories, data.superclasses
        names = tuple(data)
        ids = list(range(len(names))) if self.categories == "all" else self._selected(names, superclasses or {})
        if self.mode == "open" and len(ids) == len(names):
            raise UserError(
                f"mode: an open task needs a category that is not selected, and all {len(names)} are. "
                "Use mode closed, or select fewer."
            )
        if self.mode == "open" and NOT_SELECTED in names:
            raise UserError(
                f"mode: an open student answers {NOT_SELECTED!r}, and a category of the data is called so. "
                "Rename the category, or use mode closed."
            )
        return TaskView(self, names, torch.tensor(ids))

    def _selected(self, names: tuple[str, ...], superclasses: Mapping[str, Sequence[str]]) -> list[int]:
        named_by: dict[int, str | int] = {}
        for item in self.categories:
            for category in _members(item, names, superclasses):
                if category in named_by:
                    raise UserError(
                        f"categories: {names[category]!r} is selected twice, "
                        f"by {named_by[category]!r} and by {item!r}. Remove one."
                    )
                named_by[category] = item
        return list(named_by)


@dataclass(frozen=True, eq=False)
class TaskView:
    """A task on known categories: what the student's outputs and labels mean. k categories are selected."""

    task: Task
    categories: tuple[str, ...]  # all of the teacher or data set
    ids: Tensor  # [k] int64: the selected categories in `categories`
    _label_of: Tensor = field(init=False, repr=False)  # [K] category -> label, or k

    def __post_init__(self) -> None:
        label_of = torch.full((len(self.categories),), self.k)
        label_of[self.ids] = torch.arange(self.k)
        object.__setattr__(self, "_label_of", label_of)

    @property
    def mode(self) -> Mode:
        return self.task.mode

    @property
    def k(self) -> int:
        return len(self.ids)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.categories[i] for i in self.ids.tolist())

    @property
    def outputs(self) -> int:
        return len(self.output_names)

    @property
    def output_names(self) -> tuple[str, ...]:
        return (*self.names, NOT_SELECTED) if self.mode == "open" else self.names

    def keeps(self, categories: Tensor) -> Tensor:
        """Which rows the task uses: closed, those of selected categories; open, all."""
        if self.mode == "open":
            return torch.ones_like(categories, dtype=torch.bool)
        return self._label_of.to(categories.device)[categories] < self.k

    def labels(self, categories: Tensor) -> Tensor:
        """The student's labels of rows with these categories; open: k for what is not selected."""
        foreign = ~self.keeps(categories)
        if foreign.any():
            name = self.categories[int(categories[foreign][0])]
            raise UserError(f"a row of {name!r} is in a closed task that selects {', '.join(self.names)}.")
        return self._label_of.to(categories.device)[categories]

    def part(self, part: Part) -> Part:
        """The task's rows of a part."""
        return Part(part.rows, part.index[self.keeps(part.labels)])


def _members(item: str | int, names: tuple[str, ...], superclasses: Mapping[str, Sequence[str]]) -> list[int]:
    """The categories that a name, an id or a superclass selects; a name wins over an id."""
    text = str(item)
    if text in names:
        return [names.index(text)]
    if text in superclasses:
        return [names.index(member) for member in superclasses[text]]
    if text.isdecimal() and not isinstance(item, bool) and int(text) < len(names):
        return [int(text)]
    if text.lstrip("-").isdecimal():
        raise UserError(f"categories: id {text} is not valid. Ids go from 0 to {len(names) - 1}.")
    raise UserError(f"categories: {item!r} is unknown. {nearest(text, (*names, *superclasses))}")
