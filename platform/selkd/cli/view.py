"""What a view of a study keeps between two looks, and the words for how the study stands."""

import time
from collections.abc import Collection, Iterator

from selkd.cli import wording
from selkd.config import Workspace
from selkd.sweeps.pace import Pace, planned
from selkd.sweeps.space import SearchSpace
from selkd.sweeps.state import Candidate, State, Trial
from selkd.sweeps.studies import STOP, best, judged
from selkd.tracking import TrialRecord
from selkd.training.loop import Epoch


class View:
    """What the driver tells of a study, and what is kept of it between two looks."""

    def __init__(self, space: SearchSpace, workspace: Workspace, before: State) -> None:
        """`before`: how the study stood when this driver began."""
        self.space, self.runs = space, workspace.runs
        self.stop = workspace.studies / space.name / STOP
        self.total = planned(space)
        self.metric = next(iter(space.metrics))
        self.front: list[Candidate] = []
        self.course: list[float] = []  # the best of the first metric, after each complete candidate
        self._before = {candidate.number for candidate in before.told}
        self._seen: set[int] = set()
        self._records: dict[str, TrialRecord] = {}

    def teaching(self, epoch: Epoch) -> None:
        """The teacher finished an epoch."""

    def heard(self, what: str, done: int, total: int | None) -> None:
        """Long work goes on before the first student."""

    def watch(self, state: State) -> None:
        """This is how the study stands."""

    def follow(self, state: State) -> list[Candidate]:
        """Take in what was told since the last look, and return what this driver told of it."""
        told = [candidate for candidate in state.told if candidate.number not in self._seen]
        for candidate in told:
            self._seen.add(candidate.number)
            self.front = best(self.space, [*self.front, judged(self.space, state, candidate)])
            if candidate.verdict == "complete" and self.front:
                self.course.append(self.front[0].values[self.metric])
        return [candidate for candidate in told if candidate.number not in self._before]

    def pace(self, state: State) -> Pace:
        return Pace.of(self.space, state, state.elapsed(time.time()), self.total)

    def progress(self, trial: Trial) -> tuple[int, int]:
        """Steps that a running student has done, and all of them."""
        if trial.key not in self._records:
            self._records[trial.key] = TrialRecord(self.runs / trial.key)
        return self._records[trial.key].progress

    def forget(self, running: Collection[str]) -> None:
        """Keep the records of these students only."""
        self._records = {key: record for key, record in self._records.items() if key in running}

    def status(self, state: State) -> str:
        if state.driver is None:
            return "delivering to MLflow"
        if self.stop.exists():
            return "stopping: students save where they are; the same command goes on"
        begun = any(trial.status != "waiting" for trial in state.trials.values())
        return "running" if begun else "starting Ray"


def best_lines(space: SearchSpace, front: list[Candidate]) -> Iterator[tuple[str, str]]:
    """The best candidate, or the front's size and its end for each metric."""
    if not front:
        yield "best", "none yet" + (" that keeps the constraints" if space.constraints else "")
        return
    if len(space.metrics) == 1:
        ends = {"best": front[0]}
    else:
        yield "front", f"{len(front)} candidates that no other beats"
        ends = {f"best {name.rpartition('/')[2]}": best_of(name, space, front) for name in space.metrics}
    for label, candidate in ends.items():
        yield label, f"{wording.values(candidate)} (candidate {candidate.number})"
        yield "", wording.parameters(candidate.parameters)


def best_of(metric: str, space: SearchSpace, front: list[Candidate]) -> Candidate:
    sign = 1 if space.metrics[metric] == "maximise" else -1
    return max(front, key=lambda candidate: sign * candidate.values[metric])
