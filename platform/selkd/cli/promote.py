"""`selkd promote`."""

from typing import Annotated

import typer

from selkd.cli import show

SHOWN = 12


def promote(
    run: Annotated[
        str, typer.Argument(help="A run's key, its folder, or the id of its run in MLflow.", show_default=False)
    ],
    alias: Annotated[str, typer.Option(help="The name by which consumers ask for it.")] = "champion",
    name: Annotated[
        str | None, typer.Option(help="Name of the registered model; the run's own when absent.", show_default=False)
    ] = None,
    json: show.Json = False,
) -> None:
    """Register a finished student in MLflow's model registry, with a card that says what it can do.

    The card is the version's description: task, what it rejects, test metrics with intervals, limits, provenance. The
    same run is always the same version; the alias moves to it once its files have been fetched and checked.

    **Examples**

    `selkd promote open-selkd-1f3a5c7e90`

    `selkd promote open-selkd-1f3a5c7e90 --alias candidate --name digits-on-device`

    `selkd predict models:/open-selkd@champion photos/`
    """
    from selkd.promotion import promote as work

    found = work(run, alias, name=name)
    if json:
        show.print_json({**vars(found), "address": found.address, "measured": [vars(one) for one in found.measured]})
        return
    rows = [
        [one.name, show.number(one.value), f"{one.low:.3f} to {one.high:.3f}", f"{one.rows:,}"]
        for one in found.measured[:SHOWN]
    ]
    show.table(f"{found.name}, version {found.version}", ["test", "value", "95 % interval", "rows"], rows)
    said = "registered" if found.made else "was registered before"
    show.out.print(f"version {found.version} {said}; {found.alias} names it", markup=False, highlight=False)
    show.out.print(f"Next: `selkd predict {found.address} IMAGES`", markup=False, highlight=False)
