"""A study at work, seen: the live table and the plain lines, made from the events of a ledger."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.live import Live

from selkd.cli import show, wording
from selkd.cli.view import View
from selkd.cli.watch import Lines, Screen, watching
from selkd.config import Workspace
from selkd.sweeps.pace import Pace, planned
from selkd.sweeps.space import SearchSpace
from selkd.sweeps.state import State
from selkd.sweeps.studies import STOP
from selkd.tracking import StudyRecord, TrialRecord
from selkd.training.loop import Epoch

ACCURACY, SIZE = "validation/accuracy", "cost/parameters"
SPACE: dict[str, Any] = {
    "name": "widths",
    "base": {"data": {"source": "digits"}, "student": {"model": "cnn"}},
    "search": {"training.optimiser.lr": {"log": [0.001, 0.1]}},
    "metrics": {ACCURACY: "maximise"},
    "budget": {"candidates": 20},
}


class Study:
    """A ledger that is written by hand, and the state it tells."""

    def __init__(self, root: Path, **changes: Any) -> None:
        self.workspace = Workspace(root)
        self.space = SearchSpace.of(SPACE | changes)
        self.record = StudyRecord(self.workspace.studies / self.space.name)
        self.record.begin(self.space.name, self.space.model_dump(mode="json", by_alias=True), {})
        self.record.start(1, "here", 2)

    def candidate(self, number: int, running: bool = True) -> str:
        key = f"widths-{number}"
        trials = [{"key": key, "seed": 0, "role": "student"}]
        self.record.propose(number, {"training.optimiser.lr": 0.01 * (number + 1)}, trials)
        if running:
            self.record.launch(key)
        return key

    def complete(self, number: int, *values: float, constraints: tuple[float, ...] = ()) -> None:
        told = dict(zip(self.space.metrics, values, strict=True))
        self.record.end_trial(self.candidate(number), "finished", told, None, 2.0)
        self.record.tell(number, "complete", told, constraints, None)

    def fail(self, number: int, reason: str) -> None:
        self.record.end_trial(self.candidate(number), "failed", {}, reason, 1.0)
        self.record.tell(number, "failed", {}, [], reason)

    def prune(self, number: int, reason: str) -> None:
        self.record.end_trial(self.candidate(number), "pruned", {}, reason, 1.0)
        self.record.tell(number, "pruned", {}, [], reason)

    @property
    def state(self) -> State:
        return State.of(self.record.ledger.events())


@pytest.fixture
def study(tmp_path: Path) -> Study:
    found = Study(tmp_path)
    for number, value in enumerate((0.5, 0.25, 0.75)):
        found.complete(number, value)
    found.fail(3, "ValueError: a loss that is no number\nand more")
    found.prune(4, "3. of 3 at 20% of the training; the best 1 went on")
    record = TrialRecord(found.workspace.runs / found.candidate(5))
    record.begin("widths-5", "widths", {}, {}, {})
    record.log(7, {"train/loss": 1.0}, steps=60)
    return found


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    text = io.StringIO()
    monkeypatch.setattr(show, "err", Console(file=text, width=100, color_system=None))
    yield text


def screen(study: Study, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, record=True, force_terminal=True)
    with Live(console=console, auto_refresh=False) as live:
        view = Screen(study.space, study.workspace, State(), live)
    console.export_text()
    console.print(view.drawn(study.state))
    return console.export_text()


@pytest.mark.parametrize("width", [60, 100])
def test_the_table_tells_how_the_study_stands_in_any_width(study: Study, width: int) -> None:
    shown = screen(study, width)
    assert max(map(len, shown.splitlines())) <= width
    for text in (
        "widths: running",
        "5 of 20",
        "validation/accuracy 0.750 (candidate 2)",
        "training.optimiser.lr=0.03",
        "0.500 ▁▁█ 0.750",
        "3 finished, 1 running, 1 stopped early, 1 failed",
        "1 x ValueError: a loss that is no number",
        "candidate 5, seed 0",
        "7/60",
        "time left",
    ):
        assert text in " ".join(shown.split()), text
    assert "and more" not in shown


def test_many_running_students_and_failures_take_few_lines(study: Study) -> None:
    for number in range(6, 80):
        study.candidate(number)
    for number in range(80, 120):
        study.fail(number, f"ValueError: {number}")
    shown = screen(study)
    assert len(shown.splitlines()) < 30
    assert "and 67 more" in shown


def test_several_metrics_show_the_fronts_size_and_its_ends(tmp_path: Path) -> None:
    study = Study(tmp_path, metrics={ACCURACY: "maximise", SIZE: "minimise"})
    for number, values in enumerate([(0.9, 900.0), (0.5, 100.0), (0.7, 400.0), (0.4, 500.0)]):
        study.complete(number, *values)
    shown = " ".join(screen(study).split())
    assert "3 candidates that no other beats" in shown
    assert "best accuracy validation/accuracy 0.900, cost/parameters 900.000 (candidate 0)" in shown
    assert "best parameters validation/accuracy 0.500, cost/parameters 100.000 (candidate 1)" in shown


def test_what_breaks_a_constraint_is_never_the_best(tmp_path: Path, written: io.StringIO) -> None:
    study = Study(tmp_path, constraints={SIZE: {"at_most": 100}})
    study.complete(0, 0.9, constraints=(1.0,))
    assert "none yet that keeps the constraints" in screen(study)
    Lines(study.space, study.workspace, State()).watch(study.state)
    assert f"candidate 0: {ACCURACY} 0.900, breaks a constraint" in written.getvalue()


def test_a_study_that_is_asked_to_stop_says_so(study: Study) -> None:
    (study.record.folder / STOP).touch()
    assert "students save where they are; the same command goes on" in screen(study)
    study.record.stop(False, "interrupted (SIGINT)")
    assert "delivering to MLflow" in screen(study)


def test_lines_tell_each_candidate_and_failure_once(study: Study, written: io.StringIO) -> None:
    lines = Lines(study.space, study.workspace, State())
    lines.watch(study.state)
    study.complete(6, 0.8)
    lines.watch(study.state)
    lines.watch(study.state)
    assert written.getvalue().splitlines() == [
        "student widths-3 of candidate 3 failed: ValueError: a loss that is no number",
        f"candidate 0: {ACCURACY} 0.500; training.optimiser.lr=0.01",
        f"candidate 1: {ACCURACY} 0.250; training.optimiser.lr=0.02",
        f"candidate 2: {ACCURACY} 0.750, best so far; training.optimiser.lr=0.03",
        "candidate 3: failed, ValueError: a loss that is no number",
        "candidate 4: stopped early, 3. of 3 at 20% of the training; the best 1 went on",
        "widths: running",
        f"candidate 6: {ACCURACY} 0.800, best so far; training.optimiser.lr=0.07",
    ]


def test_a_resumed_study_does_not_tell_what_was_told_before(study: Study, written: io.StringIO) -> None:
    lines = Lines(study.space, study.workspace, study.state)
    study.complete(6, 0.6)
    lines.watch(study.state)
    assert written.getvalue().splitlines() == [
        f"candidate 6: {ACCURACY} 0.600; training.optimiser.lr=0.07",
        "widths: running",
    ]


def test_a_summary_comes_now_and_then(study: Study, written: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Lines(study.space, study.workspace, study.state)
    lines.watch(study.state)
    monkeypatch.setattr(show, "PAUSE", 0.0)
    monkeypatch.setattr("selkd.cli.watch.SHARE", 0.0)
    lines.watch(study.state)
    summary = written.getvalue().splitlines()[-1]
    assert summary.startswith(
        "widths: 5 of 20 candidates; best 0.750; students: 3 finished, 1 running, 1 stopped early"
    )
    assert "time left" in summary


def test_long_work_before_the_first_student_is_told(study: Study, written: io.StringIO) -> None:
    with watching(study.space, study.workspace, State()) as view:
        view.teaching(Epoch(3, 25, 10, {ACCURACY: 0.5}))
    assert written.getvalue().splitlines() == ["teaching the teacher, epoch 3 of 25, validation accuracy 0.500"]


@pytest.mark.parametrize(
    ("terminal", "quiet", "kind"), [(True, False, Screen), (False, False, Lines), (True, True, View)]
)
def test_a_terminal_gets_a_table_a_file_lines_and_json_nothing(
    terminal: bool, quiet: bool, kind: type, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = io.StringIO()
    monkeypatch.setattr(show, "err", Console(file=text, force_terminal=terminal, width=100, color_system=None))
    with watching(study.space, study.workspace, State(), quiet=quiet) as view:
        view.watch(study.state)
        assert type(view) is kind
    assert bool(text.getvalue()) is not quiet


def test_the_view_finds_what_the_study_finds_best(tmp_path: Path) -> None:
    study = Study(tmp_path, metrics={ACCURACY: "maximise", SIZE: "minimise"})
    view = View(study.space, study.workspace, State())
    for number in range(30):
        study.complete(number, (number * 7 % 11) / 11, float(number * 5 % 13))
        view.follow(study.state)
    from selkd.sweeps.studies import best

    assert view.front == best(study.space, study.state.candidates.values())
    assert view.course == sorted(view.course)


PACES: list[tuple[dict[str, Any], Callable[[Pace], bool]]] = [
    ({"candidates": 20}, lambda pace: pace.left == 3 * 100 and pace.candidates == 15),
    ({"candidates": 20, "hours": 0.05}, lambda pace: pace.left == pytest.approx(80)),
    ({"candidates": 200, "student_hours": 16 / 3600}, lambda pace: pace.left == pytest.approx(100)),
    ({"hours": 1 / 3600}, lambda pace: pace.left == 0 and pace.candidates is None),
]


@pytest.mark.parametrize(("budget", "holds"), PACES)
def test_time_left_is_that_of_the_first_limit(
    budget: dict[str, Any], holds: Callable[[Pace], bool], study: Study
) -> None:
    space = SearchSpace.of(SPACE | {"budget": budget})
    assert holds(Pace.of(space, study.state, 100.0, planned(space)))


def test_time_left_is_unknown_before_anything_was_told(tmp_path: Path) -> None:
    study = Study(tmp_path)
    pace = Pace.of(study.space, study.state, 100.0, planned(study.space))
    assert pace.left is None
    assert pace.hourly is None


def test_a_finite_space_is_not_planned_beyond_its_size() -> None:
    widths = {"student.width": {"choice": [4, 8]}, "training.batch_size": {"choice": [32, 64, 128]}}
    assert planned(SearchSpace.of(SPACE | {"search": widths, "budget": {"candidates": 50}})) == 6
    assert planned(SearchSpace.of(SPACE | {"search": widths, "budget": {"candidates": 5}})) == 5


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "unknown"), (0, "0 s"), (59.6, "1 min"), (125, "2 min 5 s"), (12_000, "3 h 20 min"), (200_000, "2 d 7 h")],
)
def test_times_have_at_most_two_units(seconds: float | None, text: str) -> None:
    assert wording.duration(seconds) == text


def test_parameters_are_written_as_overrides() -> None:
    given = {"a": 0.012345, "b": ["three", "five"], "c": {"policy": "el2n", "keep": 0.5}, "d": None, "e": True}
    assert wording.parameters(given) == "a=0.0123 b=[three, five] c={policy: el2n, keep: 0.5} d=null e=true"


def test_a_sparkline_keeps_both_ends_and_its_width() -> None:
    assert wording.sparkline([], 10) == ""
    assert wording.sparkline([1.0, 1.0], 10) == "▁▁"
    long = wording.sparkline([float(k) for k in range(1000)], 40)
    assert len(long) == 40
    assert (long[0], long[-1]) == ("▁", "█")
