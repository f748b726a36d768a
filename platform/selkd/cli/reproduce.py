"""`selkd reproduce`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selkd.cli import show

if TYPE_CHECKING:
    from selkd.reproduction import Difference, Reproduction

SHOWN = 12  # metrics that differ, beyond which they are counted


def reproduce(
    run: Annotated[
        str, typer.Argument(help="A run's key, its folder, or the id of its run in MLflow.", show_default=False)
    ],
    data: Annotated[
        str | None,
        typer.Option(
            help="Source that holds the run's data on this machine, such as imagefolder:PATH; its content is checked.",
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="How far the scores may be apart. Default: 0 where everything is as recorded and on CPU, else 0.02.",
        ),
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(help="A new folder in which to keep the run that is trained.", show_default=False)
    ] = None,
    json: show.Json = False,
) -> None:
    """Train a recorded run again from its record alone, compare, and name the first thing that differs.

    The recorded run is not touched: the new one is trained beside it, and removed unless --keep is given. Its teacher
    and data are found in the workspace by their content. What differs from then (code, packages, hardware) is said
    before training. Exit code 0: identical, or within the tolerance; 1: different; 2: it could not be tried.

    **Examples**

    `selkd reproduce open-selkd-1f3a5c7e90`

    `selkd reproduce 4b1d0c9f6a7e4c2f9d3b8a5e6f708192` (a run of MLflow, trained on any machine)

    `selkd reproduce my-student-0b2e4d6f81 --data imagefolder:/data/photos --keep again`
    """
    from selkd.reproduction import reproduce as work

    def say(before: "list[Difference]") -> None:
        for difference in before if not json else []:
            show.err.print("[yellow]differs[/]", end=" ")
            show.err.print(str(difference), markup=False, highlight=False, soft_wrap=True)

    with show.resumable(), show.progress(f"{run}, again", quiet=json) as on_epoch:
        found = work(run, data=data, tolerance=tolerance, keep=keep, on_before=say, on_epoch=on_epoch)
    if json:
        show.print_json(_plain(found))
    else:
        _print(found)
    if not found.same:
        raise typer.Exit(1)


def _print(found: "Reproduction") -> None:
    likeness = found.likeness
    pairs = {**likeness.scores, **likeness.changed}
    rows = [[name, show.number(a, 6), show.number(b, 6)] for name, (a, b) in list(pairs.items())[:SHOWN]]
    show.table(found.key, ["metric", "recorded", "again"], rows)
    if len(pairs) > SHOWN:
        show.out.print(f"... and {len(pairs) - SHOWN} more metrics that differ (--json has all)")
    for part, answers in likeness.answers.items():
        show.out.print(f"{part}: {answers.otherwise:,} of {answers.rows:,} rows answered otherwise", highlight=False)
    weights = {True: "identical", False: "different", None: "not compared: the record has none"}[likeness.weights]
    show.out.print(f"weights: {weights}")
    verdicts = {
        "identical": "[bold green]identical[/]: every epoch, every answer, every weight",
        "within tolerance": f"[bold green]within tolerance[/]: scores differ by {found.tolerance:g} at most",
        "different": f"[bold red]different[/]: scores may differ by {found.tolerance:g} here",
    }
    show.out.print(verdicts[found.verdict])
    if found.first:
        show.out.print("first difference: " + found.first, markup=False, highlight=False)
        if found.likeness.first not in (None, found.first):
            show.out.print("first seen in: " + str(found.likeness.first), markup=False, highlight=False)
    if found.folder:
        show.out.print(f"kept: {found.folder}", markup=False, highlight=False)


def _plain(found: "Reproduction") -> dict[str, object]:
    likeness = found.likeness
    return {
        "key": found.key,
        "verdict": found.verdict,
        "tolerance": found.tolerance,
        "first_difference": found.first,
        "before": [vars(difference) for difference in found.before],
        "first_in_training": likeness.first,
        "weights_identical": likeness.weights,
        "answers": {part: vars(answers) for part, answers in likeness.answers.items()},
        "scores": {name: {"recorded": a, "again": b} for name, (a, b) in likeness.scores.items()},
        "changed": {name: {"recorded": a, "again": b} for name, (a, b) in likeness.changed.items()},
        "folder": found.folder,
    }
