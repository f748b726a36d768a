"""`selkd report`."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from selkd.cli import show


def report(
    studies: Annotated[list[str], typer.Argument(metavar="STUDY...", help="Studies to report on.", show_default=False)],
    by: show.By = None,
    metric: show.Metric = None,
    baseline: show.Baseline = None,
    within: show.Within = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Where; else in the workspace.")
    ] = None,
    open: Annotated[bool, typer.Option("--open", help="Show the page in the browser.")] = False,
    fresh: show.Fresh = False,
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

    watch = show.runs_read(quiet=json)
    page = work(
        studies, by, metric, baseline=baseline, within=within or (), output=output, fresh=fresh, watch=watch
    )  # fmt: skip
    if json:
        show.print_json({"page": page, "figures": page.parent / "figures", "tables": page.parent / "tables"})
    else:
        show.say(f"Report: {page}")
    if open:
        webbrowser.open(page.absolute().as_uri())
