"""The smaller parts of a search space: how much may be spent, and when a student is stopped early."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Settings(BaseModel):
    """Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Budget(Settings):
    """What a study may spend; it ends with the first limit that it reaches."""

    candidates: int | None = Field(default=None, ge=1, description="Candidates; a finite space may have fewer.")
    seeds: int = Field(default=1, ge=1, le=1000, description="Students a candidate, one for each seed.")
    resplit: bool = Field(
        default=False,
        description="Whether each seed splits the data anew, so that differences speak of the data, too.",
    )
    hours: float | None = Field(default=None, gt=0, description="Wall time.")
    student_hours: float | None = Field(default=None, gt=0, description="Training time, summed over students.")


class Plan(Settings):
    """The comparison that a study is made for, declared before its results are known."""

    by: str = Field(description="The factor: a searched key, or several joined by `+`.")
    metric: str | None = Field(
        default=None, description="Reported on test, chosen on validation; accuracy or balanced when absent."
    )
    baseline: str | None = Field(
        default=None, description="The level that the others are compared with; all pairs when absent."
    )
    within: list[str] = Field(default=[], description="Keys whose values are compared each by themselves.")
    difference: float | None = Field(default=None, gt=0, description="The smallest difference that matters.")
    looks: list[Annotated[int, Field(ge=2)]] = Field(
        default=[],
        description="Seeds at which the comparison is looked at: `budget.seeds` first, then those that "
        "`selkd sweep --extend` goes on to. Further looks than these make it exploratory.",
    )
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="Chance of a difference that is none, over all looks.")
    spending: Literal["obrien-fleming", "pocock"] = Field(
        default="obrien-fleming",
        description="How much of alpha early looks may spend: little, or about as much as late ones.",
    )

    @model_validator(mode="after")
    def _looks_grow(self) -> "Plan":
        if self.looks != sorted(set(self.looks)):
            raise ValueError(f"looks: {self.looks} do not grow. Sort them, each once.")
        return self


Share = Annotated[float, Field(gt=0, lt=1)]


class Asha(Settings):
    """Asynchronous successive halving: at each rung, one of `factor` students goes on (Li et al. 2020)."""

    rule: Literal["asha"]
    first: Share = Field(default=0.1, description="Share of its training that every student gets.")
    factor: int = Field(default=3, ge=2, description="One of so many goes on, and rungs grow by as much.")


class HyperBand(Settings):
    """Several brackets of successive halving that differ in their first rung (Li et al. 2018)."""

    rule: Literal["hyperband"]
    first: Share = Field(default=0.1, description="Share of its training that every student gets.")
    factor: int = Field(default=3, ge=2, description="One of so many goes on, and rungs grow by as much.")
    brackets: int = Field(default=3, ge=1, le=10, description="Brackets; students take turns.")


class Median(Settings):
    """A student stops when its best value so far is worse than the others' median (Golovin et al. 2017)."""

    rule: Literal["median"]
    first: Share = Field(default=0.2, description="Share of its training that every student gets.")
    students: int = Field(default=5, ge=2, description="Students that must have come as far before anyone is stopped.")


Stopping = Annotated[Asha | HyperBand | Median, Field(discriminator="rule")]
