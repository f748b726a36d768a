"""Which category subsets are allowed: constraints as users write them, and what they leave on given data."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from selkd.errors import UserError, nearest

Subset = tuple[str, ...]
MUST, UNKNOWN = -1, -2
Positive = Annotated[int, Field(ge=1, strict=True)]


class Constraints(BaseModel):
    """What every subset satisfies, whatever its size."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    among: list[str] | None = Field(default=None, min_length=1, description="The pool; all categories when absent.")
    must: list[str] = Field(default=[], description="Categories that every subset contains.")
    never: list[str] = Field(default=[], description="Categories that no subset contains.")
    one_per_superclass: bool = Field(default=False, description="At most one category of each superclass.")
    min_rows: Positive | None = Field(
        default=None, description="Training rows that every category of a subset has at least."
    )

    @model_validator(mode="after")
    def _agree(self) -> "Constraints":
        for key, names in (("among", self.among or []), ("must", self.must), ("never", self.never)):
            twice = [name for name in names if names.count(name) > 1]
            if twice:
                raise ValueError(f"{key}: {twice[0]!r} is named twice. Remove one.")
        for name in self.must:
            if name in self.never:
                raise ValueError(f"must: {name!r} is in never, too. Remove it from one of them.")
            if self.among is not None and name not in self.among:
                raise ValueError(f"must: {name!r} is not in among. Add it there, or remove it from must.")
        if len(self.must) > self.bounds[1]:
            raise ValueError(
                f"must: {len(self.must)} categories must be in every subset, and size allows {self.bounds[1]}. "
                "Raise size, or shorten must."
            )
        return self

    @property
    def bounds(self) -> tuple[int, int]:
        """The smallest and the largest size."""
        raise NotImplementedError

    def on(
        self, categories: Sequence[str], superclasses: Mapping[str, Sequence[str]], rows: Sequence[int]
    ) -> "Feasible":
        """What is allowed on data with these categories and so many training rows of each."""
        for key, names in (("among", self.among or []), ("must", self.must), ("never", self.never)):
            for name in names:
                if name not in categories:
                    raise UserError(f"{key}: the category {name!r} is unknown. {nearest(name, categories)}")
        if self.bounds[1] > len(categories):
            raise UserError(
                f"size: {self.bounds[1]} categories are asked, and the data have {len(categories)}. "
                f"Ask for at most {len(categories)}."
            )
        allowed = self._allowed(categories, rows)
        superclass_of = self._superclass_of(superclasses)
        groups: dict[str | int, list[int]] = {}
        for i in allowed:
            groups.setdefault(superclass_of.get(categories[i], i), []).append(i)
        must = tuple(i for i in allowed if categories[i] in self.must)
        taken: dict[str | int, str] = {}
        for i in must:
            group = superclass_of.get(categories[i], i)
            if group in taken:
                raise UserError(
                    f"must: {taken[group]!r} and {categories[i]!r} are both of the superclass {group!r}, "
                    "and one_per_superclass allows one. Remove one of them, or one_per_superclass."
                )
            taken[group] = categories[i]
        if self.bounds[1] > len(groups):
            limits = [k for k in ("among", "never", "min_rows", "one_per_superclass") if getattr(self, k)]
            raise UserError(
                f"size: {self.bounds[1]} categories are asked, and {', '.join(limits)} leave"
                f"{'s' * (len(limits) == 1)} room for {len(groups)} of {len(categories)}. "
                f"Ask for at most {len(groups)}, or loosen {' or '.join(limits)}."
            )
        free = tuple(tuple(members) for group, members in groups.items() if group not in taken)
        smallest, largest = (max(bound - len(must), 0) for bound in self.bounds)
        return Feasible(tuple(categories), must, free, smallest, largest)

    def _allowed(self, categories: Sequence[str], rows: Sequence[int]) -> list[int]:
        least = self.min_rows or 0
        for name in self.must:
            if (have := rows[list(categories).index(name)]) < least:
                raise UserError(
                    f"must: {name!r} has {have} training rows, and min_rows asks for {least}. "
                    f"Lower min_rows to {have}, or remove it from must."
                )
        pool = set(self.among or categories) - set(self.never)
        return [i for i, name in enumerate(categories) if name in pool and rows[i] >= least]

    def _superclass_of(self, superclasses: Mapping[str, Sequence[str]]) -> dict[str, str]:
        if not self.one_per_superclass:
            return {}
        if not superclasses:
            raise UserError("one_per_superclass: the data name no superclasses. Remove it.")
        found: dict[str, str] = {}
        for superclass, members in superclasses.items():
            for name in members:
                if found.setdefault(name, superclass) != superclass:
                    raise UserError(
                        f"one_per_superclass: {name!r} is of two superclasses, {found[name]!r} and {superclass!r}. "
                        "Give every category one superclass, or remove one_per_superclass."
                    )
        return found


@dataclass(frozen=True, eq=False)
class Feasible:
    """The allowed subsets: all of `must`, and `smallest` to `largest` of the groups give one category each.

    A group is a superclass where only one of each may be chosen, and a single category otherwise. Categories are
    counted in the data set's order, and subsets are written in it.
    """

    categories: tuple[str, ...]
    must: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]
    smallest: int
    largest: int

    def count(self) -> int:
        """The exact number of feasible subsets."""
        return sum(self._ways[-1][self.smallest :])

    def random(self, rng: np.random.Generator) -> Subset:
        """A subset drawn uniformly from all feasible ones: group by group, with the share that contains it."""
        ways, picked = self._ways, list(self.must)
        sizes = ways[-1][self.smallest :]
        wanted = self.smallest + int(rng.choice(len(sizes), p=[number / self.count() for number in sizes]))
        for i in range(len(self.groups), 0, -1):
            if rng.random() >= ways[i - 1][wanted] / ways[i][wanted]:
                picked.append(self.groups[i - 1][rng.integers(len(self.groups[i - 1]))])
                wanted -= 1
        return self.named(picked)

    def contains(self, subset: Sequence[str]) -> bool:
        chosen = [self._group_of.get(name, UNKNOWN) for name in subset]
        free = [group for group in chosen if group >= 0]
        return (
            UNKNOWN not in chosen
            and len(set(subset)) == len(subset) == len(free) + len(self.must)
            and len(set(free)) == len(free)
            and self.smallest <= len(free) <= self.largest
        )

    def each(self) -> Iterator[tuple[int, ...]]:
        """Every feasible subset once, by numbers: for spaces that are small enough."""
        for size in range(self.smallest, self.largest + 1):
            for groups in combinations(self.groups, size):
                for members in product(*groups):
                    yield (*self.must, *members)

    def __iter__(self) -> Iterator[Subset]:
        return map(self.named, self.each())

    def ordered(self, subset: Sequence[str]) -> Subset:
        """The same subset in the data set's order."""
        return self.named(self.ids(subset))

    def ids(self, subset: Sequence[str]) -> tuple[int, ...]:
        """The numbers of these categories, ascending."""
        return tuple(sorted(self._id_of[name] for name in subset))

    def named(self, ids: Sequence[int]) -> Subset:
        """The names of these categories, in the data set's order."""
        return tuple(self.categories[i] for i in sorted(ids))

    @cached_property
    def _id_of(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.categories)}

    @cached_property
    def _group_of(self) -> dict[str, int]:
        """The group of every category that a subset may contain; `MUST` for those that it must."""
        groups = {self.categories[i]: number for number, group in enumerate(self.groups) for i in group}
        return groups | {self.categories[i]: MUST for i in self.must}

    @cached_property
    def _ways(self) -> list[list[int]]:
        """[i][r]: in how many ways the first i groups give r categories (elementary symmetric polynomials)."""
        ways = [[1] + [0] * self.largest]
        for group in self.groups:
            last = ways[-1]
            ways.append([last[r] + (len(group) * last[r - 1] if r else 0) for r in range(self.largest + 1)])
        return ways
