"""`selkd demo`."""

import os
import shlex
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from selkd.cli import show

if TYPE_CHECKING:
    from selkd.demo import Row
    from selkd.training.loop import Epoch
    from selkd.training.run import Trained

COLUMNS = {
    "accuracy": "accuracy %",
    "nll": "NLL",
    "in_task_accuracy": "in-task %",
    "reject_recall": "reject %",
    "balanced": "mean %",
    "auroc": "AUROC %",
}
PAUSE = 3.0  # seconds between lines about one run


def demo(json: show.Json = False) -> None:
    """Train a teacher and compare students on embedded data: under 3 minutes on two cores.

    A teacher learns ten digits; students learn four of them from 20 rows a category: closed (only those four appear)
    and open (all ten appear, the student may answer "not selected"). Finished students are not trained again.
    """
    began = time.perf_counter()
    if not json:
        show.err.print("Loading libraries ...")
    from selkd import demo as library
    from selkd.config import Workspace

    workspace = Workspace.default()
    done: dict[str, list[Trained]] = defaultdict(list)
    with show.resumable(), _progress(library.RUNS, quiet=json) as progress:
        for name, trained in library.run(workspace, progress.start):
            progress.recorded()
            done[name].append(trained)
    tables = {mode: library.compared(mode, done) for mode in library.COMPARED}
    if json:
        show.print_json({mode: {row.name: row.metrics for row in rows} for mode, rows in tables.items()})
        return
    for mode, rows in tables.items():
        _say(f"\n{mode}: {', '.join(library.CATEGORIES)}{' or not selected' if mode == 'open' else ''}")
        _print_table(library.COMPARED[mode], rows)
    teacher, student = (done[name][0].metrics["cost/parameters"] for name in ("teacher", "open-selkd"))
    _say(f"Test split; mean and deviation of {len(library.SEEDS)} seeds; {library.ROWS} training rows a category.")
    _say(f"Students have {student:,.0f} parameters; the teacher, restricted to the task, {teacher:,.0f}.")
    before = library.RUNS - progress.trained
    finished = f"; {before} were finished before and are shown from their records" if before else ""
    _say(f"\n{library.RUNS} runs in {time.perf_counter() - began:.0f} s{finished}.")
    _say("Look closer: all runs in MLflow, a student of your own, a file to deploy.\n")
    for command in _next_commands(workspace.root, done["open-selkd"][0].key):
        _say(f"  {command}")


def _print_table(metrics: list[str], rows: "list[Row]") -> None:
    cells = [[row.name, *(_cell(name, *row.metrics[name]) for name in metrics)] for row in rows]
    show.table("", ["", *(COLUMNS[name] for name in metrics)], cells)


def _cell(metric: str, mean: float, deviation: float | None) -> str:
    scale, digits = (100, 1) if COLUMNS[metric].endswith("%") else (1, 3)
    shown = [show.number(scale * value, digits) for value in (mean, deviation) if value is not None]
    return " ± ".join(shown)


def _next_commands(root: Path, key: str) -> list[str]:
    """What to type next, from here."""
    selkd = "selkd" if shutil.which("selkd") else _path(Path(sys.executable).with_name("selkd"))
    config = _path(root / "demo" / "open-selkd.yaml")
    return [
        f"{selkd} ui",
        f"{selkd} train {config} objective.epsilon=2 name=mine",
        f"{selkd} export {key} student.pt2",
    ]


def _path(path: Path) -> str:
    """A path as one would write it here, fit for a shell."""
    return shlex.quote(os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path))


def _say(line: str) -> None:
    show.out.print(line, markup=False, highlight=False, soft_wrap=True)


class _Progress:
    """How far the runs are: bars in a terminal, lines elsewhere."""

    def __init__(self, total: int, bar: Progress, lines: bool) -> None:
        self.total, self.bar, self.lines = total, bar, lines
        self.done = self.trained = 0
        self.title, self.heard, self.said = "", False, time.monotonic()
        self.all = bar.add_task("all runs", total=total)
        self.current = bar.add_task("", total=None)

    def start(self, title: str) -> "Callable[[Epoch], None]":
        self.title, self.heard = title, False
        self.bar.reset(self.current, description=title, total=None)
        return self._hear

    def _hear(self, epoch: "Epoch") -> None:
        self.heard, last = True, epoch.epoch == epoch.epochs
        state = f"{self.title}: recording" if last else self.title
        self.bar.update(self.current, description=state, total=epoch.epochs, completed=epoch.epoch)
        if last:
            self._line(f"[{self.done + 1} of {self.total}] {self.title}: trained, recording")
        elif time.monotonic() - self.said >= PAUSE:
            self._line(f"{self.title}: epoch {epoch.epoch} of {epoch.epochs}")

    def recorded(self) -> None:
        """The run that was started last is finished."""
        self.done += 1
        self.trained += self.heard
        self.bar.advance(self.all)
        if not self.heard:
            self._line(f"[{self.done} of {self.total}] {self.title}: finished before")

    def _line(self, text: str) -> None:
        self.said = time.monotonic()
        if self.lines:
            show.err.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _progress(total: int, quiet: bool) -> Iterator[_Progress]:
    terminal = show.err.is_terminal
    columns = (SpinnerColumn(), TextColumn("{task.description:36}"), BarColumn(24), MofNCompleteColumn())
    with Progress(*columns, console=show.err, disable=quiet or not terminal) as bar:
        yield _Progress(total, bar, lines=not quiet and not terminal)
