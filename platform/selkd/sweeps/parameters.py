"""What may be searched: one model for each kind of parameter, as users write it.

A parameter turns a share in [0, 1) into one of its values (`at`), which is what random and quasi-random draws need,
and gives Optuna a distribution. Values that Optuna cannot hold (lists, groups) travel as JSON text.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Self, TypeGuard

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from selkd.errors import nearest
from selkd.sweeps.subset_space import SubsetSpace

MOST_VALUES = 10_000


class Parameter(BaseModel):
    """What every kind has."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, serialize_by_alias=True)
    kind: ClassVar[str]

    when: dict[str, list[Any]] = Field(
        default={}, description="The parameter exists only where these keys have one of these values."
    )

    @field_validator("when", mode="before")
    @classmethod
    def _one_or_several(cls, when: Any) -> Any:
        if not isinstance(when, Mapping):
            raise ValueError("write it as a group, for example {objective.name: selkd}")
        return {key: value if isinstance(value, list) else [value] for key, value in when.items()}

    def values(self) -> Sequence[Any] | None:
        """Every value, where they can be counted."""
        return None

    def ends(self) -> Sequence[Any]:
        """The values that must be valid for all to be."""
        return self.values() or ()

    def at(self, share: float) -> Any:
        """The value at a share in [0, 1) of the parameter's measure."""
        values = self.values()
        assert values is not None
        return values[int(share * len(values))]

    def contains(self, value: Any) -> bool:
        return any(same(value, one) for one in self.values() or ())

    def distribution(self) -> BaseDistribution:
        raise AssertionError(f"{self.kind} is not proposed by Optuna")

    def encode(self, value: Any) -> Any:
        """The value as Optuna holds it."""
        return value

    def decode(self, value: Any) -> Any:
        return value


class Listed(Parameter):
    """A parameter whose values are written out."""

    def encode(self, value: Any) -> str:
        return json.dumps(value)

    def decode(self, value: Any) -> Any:
        return json.loads(value)

    def distribution(self) -> BaseDistribution:
        return CategoricalDistribution([self.encode(value) for value in self.values() or ()])


Values = Annotated[list[Any], Field(min_length=1)]


def _different(values: list[Any]) -> list[Any]:
    for index, value in enumerate(values):
        if any(same(value, other) for other in values[:index]):
            raise ValueError(f"{value!r} is listed twice. Remove one.")
    return values


class Choice(Listed):
    """One of the listed values: numbers, words, lists, or whole groups such as {policy: el2n, keep: 0.3}."""

    kind = "choice"
    choice: Values = Field(description="The values.")
    _unique = field_validator("choice")(_different)

    def values(self) -> Sequence[Any]:
        return self.choice


class Grid(Listed):
    """Every listed value is tried with everything else; several grids make a product."""

    kind = "grid"
    grid: Values = Field(description="The values.")
    _unique = field_validator("grid")(_different)

    def values(self) -> Sequence[Any]:
        return self.grid


class Range(Parameter):
    """A parameter between two numbers."""

    @model_validator(mode="after")
    def _rises(self) -> Self:
        low, high = self.bounds
        if not low < high:
            raise ValueError(f"{self.kind}: [{low}, {high}] is empty. Give the smaller number first.")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        return getattr(self, self.kind)

    def ends(self) -> Sequence[float]:
        return self.bounds

    def contains(self, value: Any) -> bool:
        return _number(value) and self.bounds[0] <= value <= self.bounds[1]


class Uniform(Range):
    """Any number between the two, all equally likely."""

    kind = "uniform"
    uniform: tuple[float, float] = Field(description="Smallest and largest.")

    def at(self, share: float) -> float:
        low, high = self.uniform
        return low + share * (high - low)

    def distribution(self) -> FloatDistribution:
        return FloatDistribution(*self.uniform)


class Log(Range):
    """Any number between the two, every power of ten equally likely."""

    kind = "log"
    log: tuple[float, float] = Field(description="Smallest and largest; both above 0.")

    @model_validator(mode="after")
    def _positive(self) -> Self:
        if self.log[0] <= 0:
            raise ValueError(f"log: {self.log[0]} has no logarithm. Begin above 0, or use uniform.")
        return self

    def at(self, share: float) -> float:
        low, high = self.log
        return min(max(low * (high / low) ** share, low), high)

    def distribution(self) -> FloatDistribution:
        return FloatDistribution(*self.log, log=True)


class Integer(Range):
    """A whole number between the two, both included."""

    kind = "integer"
    integer: tuple[int, int] = Field(description="Smallest and largest.")
    step: int = Field(default=1, ge=1, description="Distance between neighbouring values, counted from the smallest.")
    logarithmic: bool = Field(default=False, alias="log", description="Small values more often, as `log` does.")

    @model_validator(mode="after")
    def _steps_end_at_the_largest(self) -> Self:
        low, high = self.integer
        if (high - low) % self.step:
            last = high - (high - low) % self.step
            raise ValueError(f"step: steps of {self.step} from {low} do not meet {high}. The last is {last}.")
        if self.logarithmic and (self.step > 1 or low < 1):
            raise ValueError("log: needs step 1 and a smallest value of at least 1. Remove log, or change them.")
        return self

    def values(self) -> Sequence[int] | None:
        low, high = self.integer
        return range(low, high + 1, self.step) if (high - low) // self.step < MOST_VALUES else None

    def ends(self) -> Sequence[int]:
        return self.integer

    def at(self, share: float) -> int:
        low, high = self.integer
        if self.logarithmic:
            first, last = math.log(low - 0.5), math.log(high + 0.5)
            return min(max(round(math.exp(first + share * (last - first))), low), high)
        return low + self.step * int(share * ((high - low) // self.step + 1))

    def contains(self, value: Any) -> bool:
        return _whole(value) and super().contains(value) and (value - self.integer[0]) % self.step == 0

    def distribution(self) -> IntDistribution:
        return IntDistribution(*self.integer, log=self.logarithmic, step=self.step)


class Subset(Parameter):
    """A subset of the categories, proposed by a learner of its own."""

    kind = "subset"
    subset: SubsetSpace = Field(description="Size and limits of the subsets.")


KINDS: dict[str, type[Parameter]] = {cls.kind: cls for cls in (Choice, Uniform, Log, Integer, Grid, Subset)}


def kind_of(spec: Any) -> str:
    """Which kind a written parameter is."""
    if isinstance(spec, Parameter):
        return spec.kind
    if not isinstance(spec, Mapping):
        raise ValueError(f"{spec!r} is not a parameter. Write for example {{choice: [a, b]}} or {{log: [0.1, 10]}}.")
    found = ["integer"] if "integer" in spec else [key for key in spec if key in KINDS]
    if len(found) != 1:
        odd = next((str(key) for key in spec if key not in {*KINDS, "when"}), "none")
        problem = f"{' and '.join(found)} do not go together" if found else f"{odd!r} is not a kind of parameter"
        raise ValueError(f"{problem}. {nearest(odd, KINDS) if not found else 'Keep one.'}")
    return found[0]


AnyParameter = Annotated[
    Annotated[Choice, Tag("choice")]
    | Annotated[Uniform, Tag("uniform")]
    | Annotated[Log, Tag("log")]
    | Annotated[Integer, Tag("integer")]
    | Annotated[Grid, Tag("grid")]
    | Annotated[Subset, Tag("subset")],
    Discriminator(kind_of),
]


def same(one: Any, other: Any) -> bool:
    """Equal as configuration values: 1 and 1.0 are, 1 and true are not."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
