"""The smaller parts of a search space: how much may be spent, and when a student is stopped early."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Budget(Settings):
    """What a study may spend; it ends with the first limit that it reaches."""

    candidates: int | None = Field(default=None, ge=1, description="Candidates; a finite space may have fewer.")
    seeds: int = Field(default=1, ge=1, le=1000, description="Students a candidate, one for each seed.")
    hours: float | None = Field(default=None, gt=0, description="Wall time.")
    student_hours: float | None = Field(default=None, gt=0, description="Training time, summed over students.")


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
