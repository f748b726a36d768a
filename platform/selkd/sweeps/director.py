"""Decides what a study does next, and writes down what it did. It knows neither Ray nor MLflow."""

import math
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from selkd.config import RunConfig, Workspace
from selkd.errors import UserError
from selkd.sweeps import stopping
from selkd.sweeps.proposals import Proposer
from selkd.sweeps.space import SearchSpace
from selkd.sweeps.state import Candidate, State, Trial
from selkd.sweeps.stopping import Report
from selkd.sweeps.studies import judged
from selkd.tracking import StudyRecord, TrialRecord
from selkd.tracking.record import End
from selkd.tracking.stored import CHECKPOINTS
from selkd.tracking.study import Verdict
from selkd.training.checkpoints import Checkpoints
from selkd.training.ending import StoppedEarly, ask_to_end

RETRIES = 3
"""How often a trial is taken up again that died without getting further."""
REFUSALS = 20
"""Candidates in a row that no run can have, after which the space is at fault."""


def trials(space: SearchSpace, parameters: Mapping[str, Any], seeds: int) -> list[tuple[Trial, RunConfig]]:
    """The students of a candidate, and the cross-entropy twins they are measured against."""
    found: list[tuple[Trial, RunConfig]] = []
    for seed in range(space.seed, space.seed + seeds):
        student = space.config(parameters, seed)
        found.append((Trial(student.key, seed, "student", -1), student))
        if space.needs_twin:
            twin = space.twin(student)
            found.append((Trial(twin.key, seed, "twin", -1), twin))
    return found


def listed(trials: Iterable[Trial]) -> list[dict[str, Any]]:
    """Trials as the ledger names them with their candidate."""
    return [{"key": trial.key, "seed": trial.seed, "role": trial.role} for trial in trials]


class Director:
    """One study at work. The ledger is written first; what is in memory follows it."""

    def __init__(self, space: SearchSpace, record: StudyRecord, proposer: Proposer, workspace: Workspace) -> None:
        self.space, self.record, self.proposer, self.workspace = space, record, proposer, workspace
        self.state = State.of(record.ledger.events())
        self.configs: dict[str, RunConfig] = {}  # of trials that are still to end
        self.ending: str | None = None  # why nothing new is begun
        self._began = time.monotonic() - self.state.seconds
        self._exhausted, self._refused = False, 0
        self._given: set[str] = set()  # trials that somebody trains
        self._waiting: deque[str] = deque()
        self._twins = {key for candidate in self.state.candidates.values() for key in candidate.twins}
        self._reports: dict[float, list[Report]] = {}  # by bracket
        for report in self.state.reports:
            self._reports_beside(report.key).append(self._signed(report))
        self._resume()

    # --- what comes next ---

    def next(self) -> Trial | None:
        """The next trial to train; nothing when none is left, or when the study ends."""
        while self.ending is None:
            if self._waiting:
                self._given.add(key := self._waiting.popleft())
                return self.state.trials[key]
            if self._spent() or not self._propose():
                return None
        return None

    @property
    def wants(self) -> bool:
        """Whether a trial is left to train."""
        if (trial := self.next()) is None:
            return False
        self._given.discard(trial.key)
        self._waiting.appendleft(trial.key)
        return True

    @property
    def busy(self) -> bool:
        """Whether trials are being trained, so that more may come."""
        return bool(self._given)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.ending is None and not self.state.open

    def tags(self, key: str) -> dict[str, str]:
        """What a trial's record says of its study."""
        trial = self.state.trials[key]
        return {
            "selkd.kind": "trial",
            "selkd.study": self.space.name,
            "selkd.candidate": str(trial.number),
            "selkd.role": trial.role,
        }

    def milestones(self, key: str) -> list[float]:
        """The shares of its training at which a student is still to report; twins are never stopped early."""
        if self.space.stopping is None or key in self._twins:
            return []
        reported = {report.share for report in self._reports_beside(key) if report.key == key}
        return [share for share in self._bracket(key) if share not in reported]

    def _spent(self) -> bool:
        """Whether a budget is used up: candidates that began are finished, no new one begins."""
        budget = self.space.budget
        return (
            (budget.candidates is not None and len(self.state.candidates) >= budget.candidates)
            or (budget.hours is not None and time.monotonic() - self._began >= 3600 * budget.hours)
            or (budget.student_hours is not None and self.state.student_seconds >= 3600 * budget.student_hours)
        )

    def _propose(self) -> bool:
        """Take up one more candidate; false when there is no other."""
        number = len(self.state.candidates)
        parameters = None if self._exhausted else self.proposer.propose(number)
        if parameters is None:
            self._exhausted = True
            return False
        try:
            found = self._trials(parameters, self.space.budget.seeds)
        except UserError as error:
            self.state.apply(self.record.propose(number, parameters, []))
            self._tell(self.state.open[number], "failed", reason=str(error))
            self._refused += 1
            if self._refused >= REFUSALS:
                self.ending = (
                    f"cannot go on: {self._refused} candidates in a row are no valid runs, the last because {error}"
                )
            return True
        self._refused = 0
        self.state.apply(self.record.propose(number, parameters, listed(found)))
        candidate = self.state.candidates[number]
        self._twins.update(candidate.twins)
        self._wait_for(candidate)
        self._settle(candidate)
        return True

    def _trials(self, parameters: dict[str, Any], seeds: int) -> list[Trial]:
        found = trials(self.space, parameters, seeds)
        known = self.state.trials
        self.configs |= {
            config.key: config for _, config in found if config.key not in known or not known[config.key].ended
        }
        return [trial for trial, _ in found]

    def _wait_for(self, candidate: Candidate) -> None:
        known = self._given | set(self._waiting)
        self._waiting.extend(dict.fromkeys(t.key for t in self._left(candidate) if t.key not in known))

    # --- what happened ---

    def launched(self, key: str) -> None:
        self.state.apply(self.record.launch(key))

    def reported(self, key: str, share: float, value: float) -> None:
        """A student reached a milestone; where the rule says so, it is asked to end."""
        assert self.space.stopping is not None
        report = Report(key, share, value)
        before, signed = self._reports_beside(key), self._signed(report)
        reason = None if key in self._twins else stopping.verdict(self.space.stopping, before, signed)
        self.state.apply(self.record.report(key, share, value, reason))
        before.append(signed)
        if reason is not None:
            ask_to_end(self.workspace.runs / key, StoppedEarly(reason))

    def ended(self, key: str, status: End, reason: str | None) -> None:
        """A trial ended, or stopped for now. What its student scores is read from the trial's own record."""
        self._given.discard(key)
        if self.state.trials[key].ended:
            return
        record = TrialRecord(self.workspace.runs / key)
        metrics = record.metrics if status == "finished" else {}
        self._end(key, status, metrics, reason, record.seconds)
        for candidate in self._open_with(key):
            self._settle(candidate)

    def _end(self, key: str, status: End, metrics: Mapping[str, float], reason: str | None, seconds: float) -> None:
        self.state.apply(self.record.end_trial(key, status, metrics, reason, seconds))
        if self.state.trials[key].ended:
            self.configs.pop(key, None)

    def again(self, key: str) -> None:
        """A trial never began, and nothing speaks against it."""
        self._given.discard(key)
        self._waiting.append(key)

    def lost(self, key: str, reason: str) -> None:
        """A trial ended in a way that trying again may mend: its process died, or its files were out of reach."""
        folder = self.workspace.runs / key
        epoch, _ = TrialRecord(folder).progress
        self.state.apply(self.record.lose(key, reason, epoch, Checkpoints(folder / CHECKPOINTS).reached))
        losses = self.state.trials[key].losses
        if losses <= RETRIES:
            self.again(key)
        else:
            self.ended(key, "failed", f"tried {losses} times: {reason}")

    def _bracket(self, key: str) -> list[float]:
        """All milestones of the bracket in which the students of a trial's candidate compete."""
        assert self.space.stopping is not None
        return stopping.milestones(self.space.stopping, self.state.trials[key].number)

    def _reports_beside(self, key: str) -> list[Report]:
        return self._reports.setdefault(next(iter(self._bracket(key)), 1.0), []) if self.space.stopping else []

    def _signed(self, report: Report) -> Report:
        """The same, where larger is better."""
        better = next(iter(self.space.metrics.values())) == "maximise"
        return report if better else Report(report.key, report.share, -report.value)

    def _open_with(self, key: str) -> list[Candidate]:
        return [c for c in self.state.open.values() if key in c.students or key in c.twins]

    def _left(self, candidate: Candidate) -> list[Trial]:
        """The trials that must still end before the candidate can be told; a pruned one needs no twins."""
        students = [self.state.trials[key] for key in candidate.students]
        pruned = any(trial.status == "pruned" for trial in students)
        needed = students if pruned else self.state.of_candidate(candidate)
        return [trial for trial in needed if not trial.ended]

    def _settle(self, candidate: Candidate) -> None:
        """Tell the sampler of a candidate when all its trials have ended."""
        if candidate.number not in self.state.open:
            return
        trials = self.state.of_candidate(candidate)
        pruned = next((trial for trial in trials if trial.status == "pruned"), None)
        if pruned is not None:
            self._give_up(candidate, f"its candidate was stopped early: {pruned.reason}")
        if self._left(candidate):
            return
        failed = next((trial for trial in trials if trial.status == "failed"), None)
        if failed is not None:
            self._tell(candidate, "failed", reason=failed.reason)
        elif pruned is not None:
            self._tell(candidate, "pruned", reason=pruned.reason)
        else:
            self._tell_values(candidate)

    def _give_up(self, candidate: Candidate, reason: str) -> None:
        """Train no more of a candidate than others need."""
        for trial in self.state.of_candidate(candidate):
            if trial.ended or len(self._open_with(trial.key)) > 1:
                continue
            if trial.key in self._waiting:
                self._waiting.remove(trial.key)
            elif trial.key in self._given:
                ask_to_end(self.workspace.runs / trial.key, StoppedEarly(reason))
                continue
            if trial.role == "student":
                self._end(trial.key, "pruned", {}, reason, 0.0)

    def _tell_values(self, candidate: Candidate) -> None:
        told = self.space.objective_values(*self.state.metrics_of(candidate))
        values = dict(zip(self.space.metrics, told.values, strict=True))
        if told.finite:
            self._tell(candidate, "complete", values, told.constraints)
        else:
            odd = [name for name, value in values.items() if not math.isfinite(value)]
            self._tell(candidate, "failed", reason=f"{odd[0] if odd else 'a constraint'} is not a number")

    def _tell(
        self,
        candidate: Candidate,
        verdict: Verdict,
        values: dict[str, float] | None = None,
        constraints: Iterable[float] = (),
        reason: str | None = None,
    ) -> None:
        values, constraints = values or {}, list(constraints)
        self.state.apply(self.record.tell(candidate.number, verdict, values, constraints, reason))
        self.proposer.tell(candidate.number, verdict, list(values.values()) or None, constraints)

    # --- going on after a stop ---

    def _resume(self) -> None:
        """Rebuild the sampler from the ledger, and take in what ended while nobody wrote it down."""
        candidates = self.state.candidates.values()
        self.proposer.restore([judged(self.space, self.state, candidate).past for candidate in candidates])
        for candidate in list(self.state.open.values()):
            try:
                seeds = max(self.space.budget.seeds, len(candidate.students))  # an extended one has more
                keys = {trial.key for trial in self._trials(candidate.parameters, seeds)}
            except UserError as error:
                self._tell(candidate, "failed", reason=str(error))
                continue
            if keys != {*candidate.students, *candidate.twins}:
                self._tell(candidate, "failed", reason="the search space changed before it was finished")
        for candidate in list(self.state.open.values()):
            for trial in self._left(candidate):
                if TrialRecord(self.workspace.runs / trial.key).status == "finished":
                    self.ended(trial.key, "finished", None)
                elif trial.stop is not None:
                    self.ended(trial.key, "pruned", trial.stop)
            self._settle(candidate)
            self._wait_for(candidate)
