"""How results look in a terminal, and to a machine."""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from selkd.comparison.records import Watch
    from selkd.training.loop import Epoch

PAUSE = 5.0  # seconds between lines about long work
WORD = 32  # columns of a word that a table does not break

Work = Callable[[str, int, int | None], None]  # what, how much of it is done, and of how much

out = Console()
err = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines.")]
By = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        help="What is compared, such as `objective.name`, or keys joined by `+`. Default: what the studies declare.",
    ),
]
Metric = Annotated[
    str | None, typer.Option(help="Such as `accuracy`, `gain/accuracy` or `cost/parameters`.", show_default=False)
]
Baseline = Annotated[
    str | None, typer.Option(metavar="LEVEL", help="Compare all others with this one, instead of all pairs.")
]
Within = Annotated[
    list[str] | None, typer.Option(metavar="KEY", help="Compare within each value of this key; repeatable.")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Read everything from MLflow again.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Dotted overrides, such as `objective.epsilon=2`.")
]


def say(line: str) -> None:
    """One line of the answer, as it is."""
    out.print(line, markup=False, highlight=False, soft_wrap=True)


def note(line: str) -> None:
    """One line beside the answer."""
    err.print(line, markup=False, highlight=False, soft_wrap=True)


def fail(message: str) -> None:
    err.print("[bold red]error[/]", end=" ")
    note(message)


def print_json(content: Any) -> None:
    """JSON on standard output; what is not a number is null."""
    typer.echo(json.dumps(_plain(content), indent=2, sort_keys=True, default=str))


def number(value: float | None, digits: int = 3) -> str:
    if value is None or math.isnan(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}f}"


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table of words as they are: a subset such as [one, two] is no markup."""
    found = Table(title=Text(title, style="table.title"), title_justify="left", header_style="bold")
    widths = _widths([columns, *rows], out.width - 3 * len(columns) - 1)
    for index, (column, width) in enumerate(zip(columns, widths, strict=True)):
        found.add_column(Text(column), justify="left" if index == 0 else "right", overflow="fold", width=width)
    for row in rows:
        found.add_row(*map(Text, row))
    out.print(found, crop=False)


def _widths(lines: Sequence[Sequence[str]], room: int) -> list[int]:
    """Of each column: the widest give way first. Words are broken, the longest first, where nothing else is left."""
    columns = list(zip(*lines, strict=True))
    widths = [max(map(cell_len, column)) for column in columns]
    least = [min(WORD, max(map(cell_len, " ".join(column).split()), default=0)) for column in columns]
    while sum(widths) > room and (wide := [k for k, width in enumerate(widths) if width > least[k]]):
        widths[max(wide, key=lambda k: widths[k])] -= 1
    while sum(widths) > room and max(widths) > 1:
        widths[widths.index(max(widths))] -= 1
    return widths


class Interrupted(Exception):
    """Ctrl-C while students trained: what was done is kept."""


@contextmanager
def resumable() -> Iterator[None]:
    """Typer would turn Ctrl-C into a bare exit. SIGTERM lets a student save where it is."""
    from selkd.training.ending import Paused

    try:
        yield
    except (KeyboardInterrupt, Paused):
        raise Interrupted from None


@contextmanager
def progress(title: str, quiet: bool = False) -> Iterator["Callable[[Epoch], None]"]:
    """A bar that advances with every epoch; a line an epoch where there is no terminal."""
    if quiet:
        yield lambda _: None
        return
    from selkd.data.progress import heard_by

    if not err.is_terminal:
        with heard_by(_now_and_then("images")):
            yield lambda epoch: err.print(
                f"{title}: epoch {epoch.epoch} of {epoch.epochs}, {_scores(epoch)}", soft_wrap=True
            )
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[scores]}"))
    with Progress(*columns, TimeRemainingColumn(), console=err) as bar, heard_by(_bars(bar)):
        task = bar.add_task(title, total=None, scores="")
        yield lambda epoch: bar.update(task, total=epoch.epochs, completed=epoch.epoch, scores=_scores(epoch))


@contextmanager
def images(quiet: bool = False) -> Iterator[None]:
    """Bars over images that are read; a line now and then where there is no terminal."""
    from selkd.data.progress import heard_by

    if quiet:
        yield
    elif err.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=err) as bar, heard_by(_bars(bar)):
            yield
    else:
        with heard_by(_now_and_then("images")):
            yield


@contextmanager
def downloads() -> Iterator[Work]:
    """Bars over files that come; a line now and then where there is no terminal."""
    if not err.is_terminal:
        yield _now_and_then("bytes")
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err) as bar:
        yield _bars(bar)


def _now_and_then(unit: str) -> Work:
    """Lines such as `teacher, train: 3,000 of 10,000 images`, the first after a few seconds."""
    return seldom(lambda what, done, total: f"{what}: {done:,}{'' if total is None else f' of {total:,}'} {unit}")


def runs_read(quiet: bool) -> "Watch":
    """Lines about runs that are read, the first after a few seconds."""
    return (lambda done, total: None) if quiet else seldom(lambda done, total: f"{done:,} runs read")


def seldom(line: Callable[..., str]) -> Callable[..., None]:
    """Note what `line` says of long work, every few seconds at most."""
    said = time.monotonic()

    def hear(*about: Any) -> None:
        nonlocal said
        if time.monotonic() - said >= PAUSE:
            said = time.monotonic()
            note(line(*about))

    return hear


def _bars(bar: Progress) -> Work:
    """A bar for each piece of work, until it is done."""
    shown: dict[str, TaskID] = {}

    def hear(what: str, done: int, total: int | None) -> None:
        if what not in shown:
            shown[what] = bar.add_task(escape(what), total=total, scores="images")
        bar.update(shown[what], completed=done)
        if done == total:
            bar.remove_task(shown.pop(what))

    return hear


def _scores(epoch: "Epoch") -> str:
    metrics = epoch.metrics
    shown = ["loss " + number(metrics.get("train/loss"))]
    for name in ("accuracy", "balanced"):
        if (value := metrics.get(f"validation/{name}")) is not None:
            shown.append(f"validation {name} {number(value)}")
    return ", ".join(shown)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
