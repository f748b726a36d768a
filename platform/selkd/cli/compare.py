"""`selkd compare`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from selkd.cli import show

if TYPE_CHECKING:
    from selkd.comparison.compare import Comparison

Format = Literal["table", "csv", "markdown", "latex"]
SUFFIXES: dict[str, Format] = {".csv": "csv", ".md": "markdown", ".tex": "latex", ".txt": "table"}
LEFT_OUT = 10  # runs that are named one by one


def compare(
    studies: Annotated[list[str], typer.Argument(metavar="STUDY...", help="Studies to compare.", show_default=False)],
    by: show.By = None,
    metric: show.Metric = None,
    baseline: show.Baseline = None,
    within: show.Within = None,
    difference: Annotated[
        float | None, typer.Option(help="The difference that matters, such as 0.01: how many seeds would tell it?")
    ] = None,
    format: Annotated[Format, typer.Option(help="How the leaderboard is written.")] = "table",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the leaderboard to a .csv, .md, .tex or .txt file.")
    ] = None,
    fresh: show.Fresh = False,
    json: show.Json = False,
) -> None:
    """Say which level of a factor is better, and whether that is more than luck.

    Students are paired by what they share: seed, split, subset, rows, architecture, teacher. Other hyperparameters are
    chosen on validation for each level; the test values of what was chosen are compared. MLflow alone is read.

    **Examples**

    `selkd compare demo-closed --by objective.name`

    `selkd compare sample-policies --by selection.samples.policy --baseline random --within selection.samples.keep`

    `selkd compare category-policies --by selection.categories.policy --metric gain/accuracy`

    `selkd compare before after --by study --format latex > table.tex`
    """
    from selkd.comparison.asking import question_of
    from selkd.comparison.compare import answer, read
    from selkd.errors import UserError

    if output is not None and format == "table" and output.suffix not in SUFFIXES:
        raise UserError(f"--output {output}: the ending says the format: {', '.join(SUFFIXES)}. Or add --format.")
    records = read(studies, fresh=fresh, watch=show.runs_read(quiet=json))
    found = answer(records, question_of(records, by, metric, baseline, within or (), difference))
    if output is not None:
        _write(found, output, SUFFIXES.get(output.suffix, format) if format == "table" else format)
    if json:
        show.print_json(found.as_json())
    elif format == "table":
        print_comparison(found)
        if output is not None:
            show.say(f"The leaderboard is in {output}.")
    elif output is None:
        typer.echo(written(found, format), nl=False)


def written(comparison: "Comparison", format: Format) -> str:
    """The leaderboard in one of the formats."""
    match format:
        case "csv":
            return comparison.to_csv()
        case "markdown":
            return comparison.to_markdown()
        case "latex":
            return comparison.to_latex()
        case "table":
            return comparison.leaderboard().to_string(index=False) + "\n"


def print_comparison(comparison: "Comparison") -> None:
    """The verdict first, then what it rests on, then what cannot be said."""
    from selkd.comparison import leaderboard

    show.say(comparison.verdict)
    _tables("", *leaderboard.tables(comparison))
    show.say(leaderboard.legend(comparison))
    for line in leaderboard.chosen(comparison):
        show.say(line)
    _tables("Contrasts", *leaderboard.contrast_tables(comparison))
    for line in leaderboard.without_pairs(comparison):
        show.say(line)
    overall = comparison.overall.words if comparison.overall else []
    for line in (f"Pairing: {comparison.pairing.words}", comparison.family, *overall):
        show.say(line)
    for caveat in comparison.caveats:
        show.say(f"- {caveat}")
    left = comparison.left_out
    for study, key, run, reason in left.head(LEFT_OUT).to_numpy():
        show.say(f"  left out: {study} {key or run}: {reason}")
    if len(left) > LEFT_OUT:
        show.say(f"  and {len(left) - LEFT_OUT} more; --json names all of them")


def _tables(title: str, columns: Sequence[str], groups: Mapping[str, Sequence[Sequence[str]]]) -> None:
    """A table a group, under the group's name where there are several."""
    from selkd.comparison.result import ALL

    for group, rows in groups.items():
        where = "" if len(groups) == 1 and group == ALL else "over all groups" if group == ALL else group
        heading = ", ".join(filter(None, (title, where)))
        show.table(heading, columns, rows)


def _write(comparison: "Comparison", output: Path, format: Format) -> None:
    from selkd.files import write_bytes

    write_bytes(output, written(comparison, format).encode())
