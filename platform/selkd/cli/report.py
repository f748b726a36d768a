"""`selkd report`."""

import time
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selkd.cli import show

if TYPE_CHECKING:
    from selkd.comparison.records import Watch


def report(
    studies: Annotated[list[str], typer.Argument(metavar="STUDY...", help="Studies to report on.", show_default=False)],
    by: Annotated[
        str | None, typer.Option(metavar="KEY", help="What is compared; else what the studies declared.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Such as `accuracy`, `gain/accuracy` or `cost/parameters`.", show_default=False)
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="LEVEL", help="Compare all others with this one, instead of all pairs.")
    ] = None,
    within: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help="Compare within each value of this key; repeatable.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Where; else in the workspace.")
    ] = None,
    open: Annotated[bool, typer.Option("--open", help="Show the page in the browser.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Read everything from MLflow again.")] = False,
    json: show.Json = False,
) -> None:
    """Write what a comparison found as one page, with figures and tables for a paper.

    `report.html` holds everything it shows: it opens without a network and can be sent by e-mail. `figures/` has each
    figure as PDF and PNG, `tables/` the tables as CSV, Markdown and LaTeX. An earlier report in the folder is replaced.

    **Examples**

    `selkd report demo-closed demo-open --by objective.name`

    `selkd report declared-study --output paper/ --open`

    `selkd report category-policies --by selection.categories.policy --metric gain/accuracy`
    """
    from selkd.comparison.report import report as work

    watch = _watch(quiet=json)
    page = work(
        studies, by, metric, baseline=baseline, within=within or (), output=output, fresh=fresh, watch=watch
    )  # fmt: skip
    if json:
        show.print_json({"page": page, "figures": page.parent / "figures", "tables": page.parent / "tables"})
    else:
        show.say(f"Report: {page}")
    if open:
        webbrowser.open(page.absolute().as_uri())


def _watch(quiet: bool) -> "Watch":
    """Lines about runs that are read, the first after a few seconds."""
    said = time.monotonic()

    def watch(done: int, total: int | None) -> None:
        nonlocal said
        if not quiet and time.monotonic() - said >= show.PAUSE:
            said = time.monotonic()
            show.note(f"{done:,} runs read")

    return watch
