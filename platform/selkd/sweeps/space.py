"""A search space: what a study tries, judges by and may spend. One YAML file, refused at once when wrong."""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field, field_validator, model_validator

from selkd.config import RunConfig, override, read, validate
from selkd.errors import UserError
from selkd.sweeps import goals
from selkd.sweeps.candidates import Candidates
from selkd.sweeps.parameters import AnyParameter
from selkd.sweeps.resolve import resolved_search
from selkd.sweeps.samplers import AnySampler, Tpe
from selkd.sweeps.settings import Budget, Plan, Settings, Stopping
from selkd.sweeps.tree import lookup

HARMLESS = ("budget.candidates", "budget.hours", "budget.student_hours", "concurrent", "description", "figures")
WORKERS = "base.workers."
"""Keys that may change between start and resume, and the group of which any may: no student is affected."""


class Difference(NamedTuple):
    """How two spaces differ, a line a key, and whether a study may go on with the other one as it is."""

    lines: list[str]
    harmless: bool


class SearchSpace(Settings):
    """A study, resolved: the base is inlined and every searched key has its parameter."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
        description="Name of the study and of its MLflow experiment; the file's name when absent.",
    )
    description: str = Field(default="", description="One line for lists of studies.")
    base: dict[str, Any] = Field(
        default={}, description="Configuration that all candidates share, or the path of its file beside this one."
    )
    teacher: dict[str, Any] | None = Field(
        default=None, description="Configuration of the teacher, taught once where the workspace does not have it."
    )
    search: dict[str, AnyParameter] = Field(
        description="What varies: keys with their parameters; `declared` takes a component's own range, and "
        "`objective.*` all of them."
    )
    forbid: list[dict[str, Any]] = Field(
        default=[], description="Combinations of keys and values that no candidate may have."
    )
    metrics: dict[str, goals.Direction] = Field(
        description="What candidates are judged by, each with maximise or minimise; several give a Pareto front."
    )
    constraints: dict[str, goals.Limit] = Field(
        default={}, description="Metrics that must be at_least or at_most a number."
    )
    target: list[str] = Field(default=[], description="Categories of the fixed task behind target/accuracy.")
    budget: Budget = Field(default_factory=Budget)
    sampler: AnySampler = Field(default=Tpe(), description="Who proposes: a name, or a group with its arguments.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Seed of the proposals and of the students' seeds.")
    stopping: Stopping | None = Field(default=None, description="When students are stopped early; never when absent.")
    first: list[dict[str, Any]] = Field(default=[], description="Parameters of the first candidates.")
    defaults: bool = Field(default=True, description="Whether the components' defaults are tried first, too.")
    warm_start: str | None = Field(default=None, description="A study whose candidates the sampler hears of first.")
    comparison: Plan | None = Field(
        default=None, description="What will be compared; declared beforehand, its verdict is not exploratory."
    )
    figures: bool = Field(
        default=False, description="Whether every student's figures are drawn, which takes it half a second."
    )
    concurrent: int | None = Field(default=None, ge=1, description="Students at once; as many as CPUs when absent.")

    @field_validator("sampler", mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("stopping", mode="before")
    @classmethod
    def _rule_alone(cls, value: Any) -> Any:
        return {"rule": value} if isinstance(value, str) else value

    _spelling = field_validator("metrics", mode="before")(goals.directions)

    @field_validator("forbid")
    @classmethod
    def _entries_hold_something(cls, forbid: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if not all(forbid):
            raise ValueError("an empty entry forbids everything. Remove it.")
        return forbid

    @model_validator(mode="before")
    @classmethod
    def _resolved(cls, values: Any) -> Any:
        return resolved(values) if isinstance(values, Mapping) else values

    @model_validator(mode="after")
    def _sound(self) -> "SearchSpace":
        from selkd.sweeps.checks import refuse_what_cannot_be

        refuse_what_cannot_be(self)
        return self

    @classmethod
    def read(cls, path: Path, overrides: Iterable[str] = ()) -> "SearchSpace":
        """A YAML file with dotted overrides."""
        content: dict[str, Any] = {"name": path.stem, **read(path)}
        base = content.get("base")
        if isinstance(base, str):
            content["base"] = read(path.parent / base)
        return validate(cls, override(content, overrides), str(path))

    @classmethod
    def of(cls, space: "SearchSpace | Mapping[str, Any] | str | Path") -> "SearchSpace":
        """A space as users give it: a typed one, a mapping, or the path of a YAML file."""
        if isinstance(space, SearchSpace):
            return space
        return validate(cls, space, "search space") if isinstance(space, Mapping) else cls.read(Path(space))

    @cached_property
    def candidates(self) -> Candidates:
        return Candidates(self.base, self.search, self.forbid)

    def config(self, parameters: Mapping[str, Any], seed: int) -> RunConfig:
        """The run of a candidate with one seed; named after the study, so that equal parameters give equal keys."""
        tree = self.candidates.tree(parameters)
        if self.budget.resplit:
            tree["data"] = {**tree.get("data", {}), "seed": seed}
        return validate(RunConfig, tree | {"name": self.name, "experiment": self.name, "seed": seed}, self.name)

    def twin(self, config: RunConfig) -> RunConfig:
        """The cross-entropy student of the same subset, rows and seed: only the objective differs."""
        tree = config.model_dump(mode="json", exclude={"objective"})
        return RunConfig.model_validate(tree | {"objective": {"name": "cross-entropy"}})

    @property
    def needs_twin(self) -> bool:
        return any(name.startswith("gain/") for name in (*self.metrics, *self.constraints))

    @property
    def modes(self) -> list[str]:
        """The task modes that candidates may have."""
        searched = self.search.get("task.mode")
        return list((searched and searched.values()) or [lookup(self.base, "task.mode") or "closed"])

    def objective_values(
        self, trials: Sequence[Mapping[str, float]], twins: Sequence[Mapping[str, float]] = ()
    ) -> goals.Told:
        """Means of the metrics over a candidate's trials, and its constraints as the sampler wants them."""
        return goals.told(self.metrics, self.constraints, self.target, trials, twins)

    def difference(self, other: "SearchSpace") -> Difference:
        """What changes from this space to the other."""
        mine, theirs = (dict(_flat(space.model_dump(mode="json", by_alias=True))) for space in (self, other))
        changed = [key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key)]
        lines = [f"{key}: {_told(mine, key)} -> {_told(theirs, key)}" for key in changed]
        return Difference(lines, all(key in HARMLESS or key.startswith(WORKERS) for key in changed))


def resolved(values: Mapping[str, Any]) -> dict[str, Any]:
    """A space as written, with its base checked and its searched keys spelled out."""
    found = dict(values)
    base, teacher = found.get("base", {}), found.get("teacher")
    if not isinstance(base, Mapping):
        raise ValueError(f"base: {base!r} is not a group of keys. A path is read only from a space in a file.")
    if isinstance(teacher, Mapping):
        found["teacher"] = _checked(teacher, "teacher")
        name = RunConfig.model_validate(teacher).name
        if base.get("teacher", name) != name:
            raise ValueError(f"base.teacher: {base['teacher']!r} is not the taught teacher {name!r}. Remove it.")
        if lookup(base, "selection.teachers") is None:  # else a policy chooses, this one among others
            base = {**base, "teacher": name}
    found["base"] = _checked(base, "base")
    if "search" in found:
        found["search"] = resolved_search(found["search"], found["base"])
    return found


def _checked(config: Mapping[str, Any], key: str) -> dict[str, Any]:
    try:
        valid = validate(RunConfig, config, key)
    except UserError as error:
        raise ValueError(str(error)) from None
    return valid.model_dump(mode="json", exclude_unset=True)


def _flat(value: Any, key: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, below in value.items():
            yield from _flat(below, f"{key}.{name}" if key else str(name))
    else:
        yield key, value


def _told(values: Mapping[str, Any], key: str) -> str:
    return json.dumps(values[key]) if key in values else "absent"
