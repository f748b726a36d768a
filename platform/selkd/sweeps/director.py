"""Decides what a study does next, and writes down what it did. It knows neither Ray nor MLflow."""

import math
import time
from collections import deque
from typing import Any

from selkd.config import RunConfig, Workspace
from selkd.errors import UserError
from selkd.sweeps.proposals import Proposer
from selkd.sweeps.space import SearchSpace
from selkd.sweeps.state import Candidate, State, Trial
from selkd.sweeps.stopping import Report, milestones, verdict
from selkd.tracking import StudyRecord, TrialRecord
from selkd.tracking.record import End
from selkd.tracking.study import Verdict

RETRIES = 3
"""How often a trial is taken up again whose process died, or could not read or write."""


class Director:
    """One study at work. The ledger is written first; what is in memory follows it."""

    def __init__(self, space: SearchSpace, record: StudyRecord, proposer: Proposer, workspace: Workspace) -> None:
        self.space, self.record, self.proposer, self.workspace = space, record, proposer, workspace
        self.state = State.of(record.ledger.events())
        self.configs: dict[str, RunConfig] = {}
        self.ending: str | None = None  # why nothing new is begun
        self._began = time.monotonic() - self.state.seconds
        self._exhausted = False
        self._given: set[str] = set()  # trials that somebody trains
        self._ordinals = {key: index for index, key in enumerate(self.state.trials)}
        self._resume()
        self._waiting = deque(dict.fromkeys(t.key for c in self.state.open.values() for t in self._left(c)))

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

    def _left(self, candidate: Candidate) -> list[Trial]:
        return [trial for trial in self.state.of_candidate(candidate) if not trial.ended]

    @property
    def busy(self) -> bool:
        """Whether trials are being trained, so that more may come."""
        return bool(self._given)

    def _spent(self) -> bool:
        """Whether a budget is used up: candidates that began are finished, no new one begins."""
        budget = self.space.budget
        hours, student_hours = (time.monotonic() - self._began) / 3600, self.state.student_seconds / 3600
        return (
            (budget.candidates is not None and len(self.state.candidates) >= budget.candidates)
            or (budget.hours is not None and hours >= budget.hours)
            or (budget.student_hours is not None and student_hours >= budget.student_hours)
        )

    def _propose(self) -> bool:
        """Take up one more candidate; false when the space has no other."""
        if self._exhausted:
            return False
        number = len(self.state.candidates)
        parameters = self.proposer.propose(number)
        if parameters is None:
            self._exhausted = True
            return False
        try:
            trials = self._trials(parameters)
        except UserError as error:
            self.state.apply(self.record.propose(number, parameters, []))
            self._tell(self.state.open[number], "failed", reason=str(error))
            return True
        known = set(self.state.trials)
        listed = [{"key": t.key, "seed": t.seed, "role": t.role} for t in trials]
        self.state.apply(self.record.propose(number, parameters, listed))
        new = dict.fromkeys(t.key for t in trials if t.key not in known)
        self._ordinals |= {key: len(self._ordinals) + index for index, key in enumerate(new)}
        self._waiting.extend(new)
        self._settle(self.state.candidates[number])
        return True

    def _trials(self, parameters: dict[str, Any]) -> list[Trial]:
        """The students of a candidate, and the cross-entropy twins they are measured against."""
        found = []
        for seed in range(self.space.seed, self.space.seed + self.space.budget.seeds):
            student = self.space.config(parameters, seed)
            configs = [student, self.space.twin(student)] if self.space.needs_twin else [student]
            for role, config in zip(("student", "twin"), configs, strict=False):
                self.configs[config.key] = config
                found.append(Trial(config.key, seed, role, -1))
        return found

    def tags(self, key: str) -> dict[str, str]:
        """What a trial's record says of its study."""
        trial = self.state.trials[key]
        return {
            "selkd.kind": "trial",
            "selkd.study": self.space.name,
            "selkd.candidate": str(trial.number),
            "selkd.role": trial.role,
        }

    # --- what happened ---

    def launched(self, key: str) -> None:
        self.state.apply(self.record.launch(key))

    def reported(self, key: str, share: float, value: float) -> str | None:
        """Why the student should stop at this milestone, or nothing."""
        assert self.space.stopping is not None
        before = [r for r in self.state.reports if (r.key, r.share) != (key, share)]
        if len(before) == len(self.state.reports):
            self.state.apply(self.record.report(key, share, value))
        sign = 1 if next(iter(self.space.metrics.values())) == "maximise" else -1
        bracket = self.milestones(key)
        signed = [Report(r.key, r.share, sign * r.value) for r in before if self.milestones(r.key) == bracket]
        return verdict(self.space.stopping, signed, Report(key, share, sign * value))

    def milestones(self, key: str) -> list[float]:
        """The shares of its training at which a student reports; twins are never stopped early."""
        if self.space.stopping is None or self.state.trials[key].role == "twin":
            return []
        return milestones(self.space.stopping, self._ordinals[key])

    def ended(self, key: str, status: End, reason: str | None) -> None:
        """A trial ended, or stopped for now. What its student scores is read from the trial's own record."""
        self._given.discard(key)
        trial = self.state.trials[key]
        if trial.ended:
            return
        record = TrialRecord(self.workspace.runs / key)
        metrics = record.metrics if status == "finished" else {}
        self.state.apply(self.record.end_trial(key, status, metrics, reason, record.seconds))
        for candidate in list(self.state.open.values()):
            if key in candidate.students or key in candidate.twins:
                self._settle(candidate)

    def lost(self, key: str, reason: str) -> None:
        """A trial ended in a way that trying again may mend: its process died, or its files were out of reach."""
        self._given.discard(key)
        self.state.apply(self.record.lose(key, reason))
        losses = self.state.trials[key].losses
        if losses <= RETRIES:
            self._waiting.appendleft(key)
        else:
            self.ended(key, "failed", f"tried {losses} times: {reason}")

    def _settle(self, candidate: Candidate) -> None:
        """Tell the sampler of a candidate when all its trials have ended."""
        if self._left(candidate):
            return
        trials = self.state.of_candidate(candidate)
        failed = [trial for trial in trials if trial.status == "failed"]
        if failed:
            self._tell(candidate, "failed", reason=failed[0].reason)
            return
        if any(trial.status == "pruned" for trial in trials):
            self._tell(candidate, "pruned", reason=next(t.reason for t in trials if t.status == "pruned"))
            return
        students, twins = (
            [self.state.trials[k].metrics for k in keys] for keys in (candidate.students, candidate.twins)
        )
        told = self.space.objective_values(students, twins)
        values = dict(zip(self.space.metrics, told.values, strict=True))
        if told.finite:
            self._tell(candidate, "complete", values, told.constraints)
        else:
            odd = [name for name, value in values.items() if not math.isfinite(value)]
            self._tell(candidate, "failed", reason=f"{odd[0] if odd else 'a constraint'} is not a number")

    def _tell(
        self,
        candidate: Candidate,
        state: Verdict,
        values: dict[str, float] | None = None,
        constraints: list[float] | None = None,
        reason: str | None = None,
    ) -> None:
        values, constraints = values or {}, constraints or []
        self.state.apply(self.record.tell(candidate.number, state, values, constraints, reason))
        self.proposer.tell(candidate.number, state, list(values.values()) or None, constraints)

    # --- going on after a stop ---

    def _resume(self) -> None:
        """Rebuild the sampler from the ledger, and take in what ended while nobody wrote it down."""
        self.proposer.restore([candidate.past for candidate in self.state.candidates.values()])
        for candidate in list(self.state.open.values()):
            try:
                keys = {trial.key for trial in self._trials(candidate.parameters)}
            except UserError as error:
                self._tell(candidate, "failed", reason=str(error))
                continue
            if keys != {*candidate.students, *candidate.twins}:
                self._tell(candidate, "failed", reason="the search space changed before it was finished")
        for candidate in list(self.state.open.values()):
            for trial in self.state.of_candidate(candidate):
                record = TrialRecord(self.workspace.runs / trial.key)
                if not trial.ended and record.status == "finished":
                    self.ended(trial.key, "finished", None)
            if candidate.verdict is None:
                self._settle(candidate)
