"""Studies as they stand in the workspace: what was tried, what is best, what remains."""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from selkd.config import Workspace, validate
from selkd.errors import Busy, CannotWrite, UserError, nearest
from selkd.files import holding
from selkd.store import store
from selkd.sweeps import goals
from selkd.sweeps.learner import importances
from selkd.sweeps.pace import Pace, planned
from selkd.sweeps.past import Past
from selkd.sweeps.proposals import Proposer
from selkd.sweeps.space import SearchSpace
from selkd.sweeps.state import Candidate, State
from selkd.tracking import StudyRecord
from selkd.tracking.record import LEDGER

LOCK = ".lock"
STOP = "stop"
"""A file in a study's folder: its students save where they are and end, and its driver begins nothing new."""


@dataclass(frozen=True)
class Study:
    """One study, read from its ledger."""

    folder: Path
    state: State

    @classmethod
    def read(cls, name: str, workspace: Workspace | None = None) -> "Study":
        workspace = workspace or Workspace.default()
        folder = workspace.studies / name
        store().refresh(folder, LOCK)
        if not (folder / LEDGER).is_file():
            raise UserError(f"no study {name!r} in {workspace.studies}. {nearest(name, names(workspace))}")
        return cls(folder, State.of(StudyRecord(folder).ledger.events()))

    @property
    def name(self) -> str:
        return self.state.name

    @cached_property
    def space(self) -> SearchSpace:
        try:
            return validate(SearchSpace, self.state.space, f"study {self.name}")
        except UserError as error:
            remedy = f"Another version of selkd made it: use that one, or remove {self.folder}."
            raise UserError(f"{error}\n{remedy}") from None

    @cached_property
    def candidates(self) -> list[Candidate]:
        """Every candidate, as the present space judges it."""
        return [judged(self.space, self.state, candidate) for candidate in self.state.candidates.values()]

    @property
    def alive(self) -> bool:
        """Whether a driver works on it now, on this machine or through shared storage."""
        return driven(self.folder)

    @property
    def status(self) -> str:
        if self.alive:
            return "running"
        return "finished" if self.state.finished else "stopped"

    @cached_property
    def total(self) -> int | None:
        """How many candidates there will be, where that is limited."""
        return planned(self.space)

    @property
    def pace(self) -> Pace:
        """How fast it goes, and what remains of its budget."""
        elapsed = self.state.elapsed(time.time()) if self.alive else self.state.seconds
        return Pace.of(self.space, self.state, elapsed, self.total)

    def table(self) -> pd.DataFrame:
        """A row a candidate: parameters, means of the metrics, how it ended."""
        rows = [
            {"candidate": c.number, **c.parameters, **c.values, "state": c.verdict or "open", "reason": c.reason}
            for c in self.candidates
        ]
        return pd.DataFrame(rows)

    def trials(self) -> pd.DataFrame:
        """A row a student: candidate, seed, how it ended, and every metric of its record."""
        rows = [
            {"key": t.key, "candidate": t.number, "seed": t.seed, "role": t.role, "status": t.status,
             "reason": t.reason, "seconds": t.seconds, **t.metrics}
            for t in self.state.trials.values()
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def best(self) -> list[Candidate]:
        """The complete candidates that keep the constraints and that no other beats; the best one, with one metric."""
        return best(self.space, self.candidates)

    def ranking(self) -> list[Candidate]:
        """All that `best` chooses from, in order of the first metric."""
        return ranked(self.space, self.candidates)

    def importances(self) -> dict[str, float]:
        """The share of the first metric's variance that each parameter explains; empty while little is known."""
        return importances(self.space, [c.past for c in self.candidates])


def judged(space: SearchSpace, state: State, candidate: Candidate) -> Candidate:
    """The candidate with the values that its trials have in this space, which may have changed since it was told."""
    if candidate.verdict != "complete":
        return candidate
    told = space.objective_values(*state.metrics_of(candidate))
    values = {name: value for name, value in zip(space.metrics, told.values, strict=True) if math.isfinite(value)}
    return replace(candidate, values=values, constraints=told.constraints)


def best(space: SearchSpace, candidates: Iterable[Candidate]) -> list[Candidate]:
    """The candidates on the Pareto front, in order of the first metric."""
    kept = {candidate.number: candidate for candidate in ranked(space, candidates)}
    if len(space.metrics) == 1:
        return list(kept.values())[:1]
    points = {number: [candidate.values[name] for name in space.metrics] for number, candidate in kept.items()}
    front = goals.front(points, list(space.metrics.values()))
    return [candidate for number, candidate in kept.items() if number in front]


def ranked(space: SearchSpace, candidates: Iterable[Candidate]) -> list[Candidate]:
    """The complete candidates with every metric that keep the constraints, in order of the first metric."""
    name, direction = next(iter(space.metrics.items()))
    sign = -1 if direction == "maximise" else 1
    complete = [one for one in candidates if one.verdict == "complete" and space.metrics.keys() <= one.values.keys()]
    kept = [candidate for candidate in complete if candidate.feasible]
    return sorted(kept, key=lambda candidate: (sign * candidate.values[name], candidate.number))


def names(workspace: Workspace) -> list[str]:
    return sorted({path.parent.name for path in workspace.studies.glob(f"*/{LEDGER}")} | store().names("studies"))


def readable(workspace: Workspace) -> tuple[list[Study], dict[str, str]]:
    """Every study of the workspace, the one that changed last first, and why others cannot be read."""
    found, broken = [], {}
    for name in names(workspace):
        try:
            study = Study.read(name, workspace)
            _ = study.space  # what another version wrote is found now, not by who uses it
            found.append(study)
        except UserError as error:
            broken[name] = str(error)
    return sorted(found, key=lambda study: -study.state.changed_at), broken


def driven(folder: Path) -> bool:
    """Whether somebody holds the study's lock."""
    if not folder.is_dir():
        return False
    try:
        with holding(folder / LOCK, 0, "busy"):
            return False
    except Busy:
        return True
    except CannotWrite:
        return False


def proposer_of(space: SearchSpace, workspace: Workspace) -> Proposer:
    """Who proposes the study's candidates, warm where the space asks for it."""
    proposer = Proposer.of(space, workspace)
    if space.warm_start:
        proposer.warm(past_of(space.warm_start, workspace, space))
    return proposer


def past_of(name: str, workspace: Workspace, space: SearchSpace) -> list[Past]:
    """The complete candidates of an earlier study, for a warm start of `space`, judged by its metrics."""
    earlier = Study.read(name, workspace)
    complete = [one for one in earlier.state.candidates.values() if one.verdict == "complete"]
    comparable = [one for one in (judged(space, earlier.state, one) for one in complete) if _measured(space, one)]
    if complete and not comparable:
        raise UserError(
            f"warm_start: no student of the study {name!r}, which was judged by {_named(earlier.space)}, recorded what "
            f"this one is judged by: {_named(space)}. Remove warm_start, or choose metrics that both have."
        )
    return [one.past for one in comparable]


def _measured(space: SearchSpace, candidate: Candidate) -> bool:
    """Whether it has every metric and constraint of the space."""
    return space.metrics.keys() <= candidate.values.keys() and all(map(math.isfinite, candidate.constraints))


def _named(space: SearchSpace) -> str:
    return ", ".join(dict.fromkeys([*space.metrics, *space.constraints]))
