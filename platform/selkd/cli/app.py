"""All commands, by group."""

from typing import Annotated

import typer

from selkd.cli import (
    care,
    clean,
    cluster,
    compare,
    data,
    demo,
    jobs,
    promote,
    report,
    reproduce,
    studies,
    sweep,
    teachers,
    train,
    use,
)  # fmt: skip

app = typer.Typer(
    name="selkd",
    help="Selective knowledge distillation: small students for the categories you need.",
    epilog="First time? Run `selkd demo`. Every command explains itself: `selkd train --help`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"selkd {version('selkd')}")
        raise typer.Exit


@app.callback()
def selkd(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


START, SEARCH, USE, ELSEWHERE, CARE = "Start", "Search", "Use a student", "On a cluster", "Look after things"
app.command(rich_help_panel=START)(demo.demo)
app.command(rich_help_panel=START)(train.teach)
app.command(rich_help_panel=START)(train.train)
app.command(rich_help_panel=SEARCH)(sweep.sweep)
app.command(rich_help_panel=SEARCH)(studies.studies)
app.command(rich_help_panel=SEARCH)(studies.study)
app.command(rich_help_panel=SEARCH)(compare.compare)
app.command(rich_help_panel=SEARCH)(report.report)
app.command(rich_help_panel=USE)(use.evaluate)
app.command(rich_help_panel=USE)(use.predict)
app.command(rich_help_panel=USE)(use.export)
app.command(rich_help_panel=USE)(promote.promote)
app.command(rich_help_panel=USE)(reproduce.reproduce)
app.command(rich_help_panel=ELSEWHERE)(jobs.submit)
app.add_typer(jobs.app, name="jobs", rich_help_panel=ELSEWHERE)
app.add_typer(cluster.app, name="cluster", rich_help_panel=ELSEWHERE)
app.add_typer(data.app, name="data", rich_help_panel=CARE)
app.add_typer(teachers.app, name="teachers", rich_help_panel=CARE)
app.command(rich_help_panel=CARE)(care.doctor)
app.command(rich_help_panel=CARE)(care.sync)
app.command(rich_help_panel=CARE)(clean.clean)
app.command(rich_help_panel=CARE)(care.ui)


def commands() -> list[str]:
    """The names of all commands."""
    return list(typer.main.get_group(app).commands)
