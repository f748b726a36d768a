"""How fast a study goes, and what remains of its budget."""

from dataclasses import dataclass

from selkd.sweeps.parameters import Subset
from selkd.sweeps.space import SearchSpace
from selkd.sweeps.state import State

HOUR = 3600


@dataclass(frozen=True)
class Pace:
    """Where a study stands. What is not limited, or not known yet, is None."""

    elapsed: float  # seconds with a driver at work
    hourly: float | None  # students that end in an hour
    candidates: int | None  # that remain
    hours: float | None  # of the budget's, that remain
    student_hours: float | None
    left: float | None  # seconds until it reaches the first of its limits

    @classmethod
    def of(cls, space: SearchSpace, state: State, elapsed: float, total: int | None) -> "Pace":
        """After `elapsed` seconds of a study of `total` candidates, as `planned` says."""
        budget, told = space.budget, len(state.told)
        ended = sum(trial.ended for trial in state.trials.values())
        candidates = None if total is None else max(0, total - told)
        hours = _remains(budget.hours, elapsed)
        student_hours = _remains(budget.student_hours, state.student_seconds)
        left = [
            None if hours is None else hours * HOUR,
            _at_this_rate(candidates, told, elapsed),
            _at_this_rate(student_hours, state.student_seconds / HOUR, elapsed),
        ]
        return cls(
            elapsed=elapsed,
            hourly=ended * HOUR / elapsed if ended and elapsed else None,
            candidates=candidates,
            hours=hours,
            student_hours=student_hours,
            left=min((seconds for seconds in left if seconds is not None), default=None),
        )


def planned(space: SearchSpace) -> int | None:
    """How many candidates there will be, where a limit or the size of the space says so without the data."""
    limits = [space.budget.candidates]
    if not any(isinstance(parameter, Subset) for parameter in space.search.values()):
        limits.append(space.candidates.size(lambda _: 0).total)
    return min((limit for limit in limits if limit is not None), default=None)


def _remains(hours: float | None, spent: float) -> float | None:
    return None if hours is None else max(0.0, hours - spent / HOUR)


def _at_this_rate(amount: float | None, done: float, elapsed: float) -> float | None:
    """Seconds until `amount` is done, too."""
    if amount is None or (amount and not done):
        return None
    return amount and amount * elapsed / done
