"""What a study's ledger says: candidates, trials, what is left. Readers and the driver fold the same events."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from selkd.sweeps.past import Past
from selkd.sweeps.stopping import Report
from selkd.tracking.ledger import Event
from selkd.tracking.record import End
from selkd.tracking.study import Verdict

Role = Literal["student", "twin"]
ENDED = ("finished", "failed", "pruned")


@dataclass
class Trial:
    """One student of a study. Candidates with equal configurations share it."""

    key: str
    seed: int
    role: Role
    number: int  # of the candidate that proposed it first
    status: Literal["waiting", "running"] | End = "waiting"
    metrics: dict[str, float] = field(default_factory=dict)
    reason: str | None = None
    seconds: float = 0.0
    losses: int = 0  # how often its process died without getting further
    lost_after: int = -1  # the step from which it was to go on when it died last
    stop: str | None = None  # why it was to be stopped at its last report

    @property
    def ended(self) -> bool:
        return self.status in ENDED


@dataclass
class Candidate:
    """One configuration that was proposed, its trials by key, and what was told of it."""

    number: int
    parameters: dict[str, Any]
    students: list[str]
    twins: list[str]  # cross-entropy students on the same rows, in the order of `students`; none where none is needed
    verdict: Verdict | None = None
    values: dict[str, float] = field(default_factory=dict)
    constraints: list[float] = field(default_factory=list)
    reason: str | None = None

    @property
    def feasible(self) -> bool:
        return all(value <= 0 for value in self.constraints)

    @property
    def past(self) -> Past:
        """The candidate as samplers are told it."""
        values = list(self.values.values()) or None
        return Past(self.number, self.parameters, self.verdict, values, self.constraints)


@dataclass
class State:
    """A study as its ledger tells it."""

    name: str = ""
    space: dict[str, Any] = field(default_factory=dict)
    candidates: dict[int, Candidate] = field(default_factory=dict)
    trials: dict[str, Trial] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)
    open: dict[int, Candidate] = field(default_factory=dict)  # proposed and not told yet
    seconds: float = 0.0  # with a driver at work
    stopped: str | None = None  # why no driver works on it, where that was said
    finished: bool = False
    driver: Event | None = None
    _last: int = 0

    @classmethod
    def of(cls, events: Iterable[Event]) -> "State":
        state = cls()
        for event in events:
            state.apply(event)
        return state

    def apply(self, event: Event) -> None:
        """Take in one more event."""
        if self.driver is not None and event["event"] != "missed":
            self.seconds += (event["time"] - self._last) / 1000
        self._last = event["time"]
        match event["event"]:
            case "study":
                self.name, self.space = event["tags"]["selkd.study"], event["space"]
            case "change":
                self.space = event["space"]
            case "start":
                self.driver, self.stopped, self.finished = event, None, False
                for trial in self.trials.values():
                    if trial.status in ("running", "stopped"):
                        trial.status = "waiting"
            case "missed":
                self.driver = None
            case "candidate":
                self._proposed(event, event["parameters"])
            case "extend":  # to be told again, with the seeds that it gets now
                self._proposed(event, self.candidates[event["number"]].parameters)
            case "launch" | "lost" | "report" | "trial":
                self._about(self.trials[event["key"]], event)
            case "told":
                candidate = self.open.pop(event["number"])
                candidate.verdict, candidate.reason = event["verdict"], event["reason"]
                candidate.values = {name: float(value) for name, value in event["values"].items()}
                candidate.constraints = [float(value) for value in event["constraints"]]
            case "stop":
                self.driver, self.stopped, self.finished = None, event["reason"], event["finished"]

    def _about(self, trial: Trial, event: Event) -> None:
        match event["event"]:
            case "launch":
                trial.status = "running"
            case "lost":
                reached = event.get("step", event["epoch"])  # studies begun before there were steps have epochs
                trial.losses = 1 if reached > trial.lost_after else trial.losses + 1
                trial.lost_after, trial.status = reached, "waiting"
            case "report":
                self.reports.append(Report(trial.key, event["share"], float(event["value"])))
                trial.stop = event["reason"]
            case "trial":
                trial.status, trial.reason, trial.seconds = event["status"], event["reason"], event["seconds"]
                trial.metrics = {name: float(value) for name, value in event["metrics"].items()}

    def _proposed(self, event: Event, parameters: dict[str, Any]) -> None:
        number = event["number"]
        keys: dict[str, list[str]] = {"student": [], "twin": []}
        for trial in event["trials"]:
            keys[trial["role"]].append(trial["key"])
            self.trials.setdefault(trial["key"], Trial(trial["key"], trial["seed"], trial["role"], number))
        candidate = Candidate(number, parameters, keys["student"], keys["twin"])
        self.candidates[number] = self.open[number] = candidate

    def of_candidate(self, candidate: Candidate) -> list[Trial]:
        return [self.trials[key] for key in (*candidate.students, *candidate.twins)]

    @property
    def told(self) -> list[Candidate]:
        """The candidates whose trials have all ended."""
        return [candidate for candidate in self.candidates.values() if candidate.verdict is not None]

    @property
    def changed_at(self) -> float:
        """When the ledger last grew, in seconds since 1970."""
        return self._last / 1000

    def elapsed(self, now: float) -> float:
        """Seconds with a driver at work, up to `now` in seconds since 1970."""
        return self.seconds + (max(0.0, now - self.changed_at) if self.driver else 0.0)

    def metrics_of(self, candidate: Candidate) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
        """What a candidate's students scored, and their twins."""
        students, twins = ([self.trials[key].metrics for key in keys] for keys in (candidate.students, candidate.twins))
        return students, twins

    @property
    def counts(self) -> dict[str, int]:
        """Trials by status."""
        return dict(Counter(trial.status for trial in self.trials.values()))

    @property
    def student_seconds(self) -> float:
        return sum(trial.seconds for trial in self.trials.values())

    def failures(self) -> dict[str, int]:
        """How often trials failed, by reason."""
        reasons = (_short(t.reason) for t in self.trials.values() if t.status == "failed")
        return dict(Counter(reasons).most_common())


def _short(reason: str | None) -> str:
    return (reason or "unknown").splitlines()[0][:120]
