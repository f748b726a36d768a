"""A study at work, seen: a live table in a terminal, lines elsewhere, nothing beside JSON."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from selkd.cli import show, wording
from selkd.cli.view import View, best_lines
from selkd.config import Workspace
from selkd.data.progress import heard_by
from selkd.sweeps.pace import Pace
from selkd.sweeps.space import SearchSpace
from selkd.sweeps.state import Candidate, State
from selkd.training.loop import Epoch

REDRAWS = 0.25  # seconds between two drawings
RUNNING, FAILURES, COURSE = 8, 4, 40  # lines and characters that they take at most
STYLES = {"best": "bold green", "failed": "red"}
SHARE = 0.02  # of a study's time between two lines about all of it


class Lines(View):
    """A line a candidate told, one a failure, and one about all of it now and then."""

    def __init__(self, space: SearchSpace, workspace: Workspace, before: State) -> None:
        super().__init__(space, workspace, before)
        self._failed = failed(before)
        self._status = ""
        self._said = time.monotonic()

    def teaching(self, epoch: Epoch) -> None:
        self._say(_taught(epoch))

    def heard(self, what: str, done: int, total: int | None) -> None:
        if time.monotonic() - self._said >= show.PAUSE:
            self._say(_worked(what, done, total))

    def watch(self, state: State) -> None:
        for key in sorted(failed(state) - self._failed):
            trial = state.trials[key]
            self._failed.add(key)
            self._say(f"student {key} of candidate {trial.number} failed: {_line(trial.reason)}")
        for candidate in self.follow(state):
            self._say(self._told(candidate))
        if (status := self.status(state)) != self._status:
            self._status = status
            self._say(f"{self.space.name}: {status}")
        elif time.monotonic() - self._said >= max(show.PAUSE, SHARE * state.elapsed(time.time())):
            self._say(self._summary(state))

    def _told(self, candidate: Candidate) -> str:
        begin = f"candidate {candidate.number}"
        match candidate.verdict:
            case "complete":
                rank = ", best so far" if candidate in self.front and len(self.space.metrics) == 1 else ""
                rank = ", on the front" if candidate in self.front and not rank else rank
                rank = rank if candidate.feasible else ", breaks a constraint"
                end = f"{wording.values(candidate)}{rank}; {wording.parameters(candidate.parameters)}"
            case "pruned":
                end = f"stopped early, {_line(candidate.reason)}"
            case _:
                end = f"failed, {_line(candidate.reason)}"
        return f"{begin}: {end}"

    def _summary(self, state: State) -> str:
        pace = self.pace(state)
        parts = [
            f"{wording.candidates(len(self._seen), self.total)} candidates",
            f"best {show.number(self.course[-1])}" if self.course else "nothing complete yet",
            f"students: {wording.students(state)}",
            wording.hourly(pace.hourly),
            f"time left {wording.duration(pace.left)}",
        ]
        return f"{self.space.name}: " + "; ".join(part for part in parts if part)

    def _say(self, line: str) -> None:
        self._said = time.monotonic()
        show.note(line)


class Screen(View):
    """A table that is drawn anew, at most four times a second."""

    def __init__(self, space: SearchSpace, workspace: Workspace, before: State, live: Live) -> None:
        super().__init__(space, workspace, before)
        self.live = live
        self._drawn = 0.0
        self._draw(lambda: self._title("preparing"))

    def teaching(self, epoch: Epoch) -> None:
        self._draw(lambda: self._title(_taught(epoch)))

    def heard(self, what: str, done: int, total: int | None) -> None:
        self._draw(lambda: self._title(_worked(what, done, total)))

    def watch(self, state: State) -> None:
        self._draw(lambda: self.drawn(state), at_once=state.driver is None)

    def drawn(self, state: State) -> RenderableType:
        """The study as it stands."""
        self.follow(state)
        pace = self.pace(state)
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, text in self._facts(state, pace):
            grid.add_row(name, Text(text, style=STYLES.get(name, "")))
        return Group(self._title(f"{self.status(state)}, {wording.duration(pace.elapsed)}"), grid, self._running(state))

    def _title(self, status: str) -> Text:
        return Text.assemble((self.space.name, "bold"), f": {status}")

    def _facts(self, state: State, pace: Pace) -> Iterator[tuple[str, str]]:
        yield "candidates", wording.candidates(len(self._seen), self.total)
        yield from best_lines(self.space, self.front)
        if len(self.course) > 1:
            first, last = (show.number(self.course[k]) for k in (0, -1))
            yield "course", f"{first} {wording.sparkline(self.course, COURSE)} {last}"
        yield "students", "; ".join(part for part in (wording.students(state), wording.hourly(pace.hourly)) if part)
        yield "time left", wording.duration(pace.left)
        for reason, count in list(state.failures().items())[:FAILURES]:
            yield "failed", f"{count} x {reason}"

    def _running(self, state: State) -> RenderableType:
        running = [trial for trial in state.trials.values() if trial.status == "running"]
        self.forget({trial.key for trial in running})
        rows = Table.grid(padding=(0, 2))
        for trial in running[:RUNNING]:
            done, steps = self.progress(trial)
            role = ", twin" if trial.role == "twin" else ""
            name = f"candidate {trial.number}, seed {trial.seed}{role}"
            rows.add_row(name, ProgressBar(total=steps or None, completed=done, width=16), f"{done}/{steps or '?'}")
        if len(running) > RUNNING:
            rows.add_row(f"and {len(running) - RUNNING} more")
        return rows

    def _draw(self, made: Callable[[], RenderableType], at_once: bool = False) -> None:
        if at_once or time.monotonic() - self._drawn >= REDRAWS:
            self.live.update(made(), refresh=True)
            self._drawn = time.monotonic()


@contextmanager
def watching(space: SearchSpace, workspace: Workspace, before: State, quiet: bool = False) -> Iterator[View]:
    """Who is shown the study while it works."""
    if quiet:
        yield View(space, workspace, before)
    elif show.err.is_terminal:
        with Live(console=show.err, auto_refresh=False, transient=True) as live:
            view = Screen(space, workspace, before, live)
            with heard_by(view.heard):
                yield view
    else:
        view = Lines(space, workspace, before)
        with heard_by(view.heard):
            yield view


def _taught(epoch: Epoch) -> str:
    accuracy = show.number(epoch.metrics.get("validation/accuracy"))
    return f"teaching the teacher, epoch {epoch.epoch} of {epoch.epochs}, validation accuracy {accuracy}"


def _worked(what: str, done: int, total: int | None) -> str:
    return f"{what}: {done:,}{'' if total is None else f' of {total:,}'} images"


def _line(reason: str | None) -> str:
    return (reason or "unknown").splitlines()[0]


def failed(state: State) -> set[str]:
    return {trial.key for trial in state.trials.values() if trial.status == "failed"}
