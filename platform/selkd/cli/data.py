"""`selkd data`."""

from pathlib import Path
from typing import Annotated

import typer

from selkd.cli import show

app = typer.Typer(help="List, inspect and download data sources.", no_args_is_help=True)
Root = Annotated[Path | None, typer.Option(help="Folder of data files; `data` in the workspace when absent.")]


@app.command("list")
def list_sources(json: show.Json = False) -> None:
    """List the sources by name, and how to get each."""
    from selkd.data import sources

    found = {name: sources.describe(name) for name in sources.names()}
    if json:
        show.print_json(found)
        return
    show.table("Data sources", ["source", "what it is"], [[name, text] for name, text in found.items()])


@app.command("show")
def show_source(source: str, root: Root = None, image_size: int | None = None, json: show.Json = False) -> None:
    """Load a source and show its categories and rows.

    **Example**: `selkd data show digits`
    """
    from selkd.config import Workspace
    from selkd.data import load

    with show.images(quiet=json):
        data = load(source, root=root or Workspace.default().data, image_size=image_size)
    counts = {
        name: [int((rows.labels == index).sum()) for rows in (data.train, data.test) if rows is not None]
        for index, name in enumerate(data.categories)
    }
    about = {
        "source": source,
        "shape": list(data.train.shape),
        "mean": list(data.mean),
        "std": list(data.std),
        "superclasses": {k: list(v) for k, v in data.superclasses.items()},
        "rows": counts,
        "fingerprint": data.fingerprint,
    }
    if json:
        show.print_json(about)
        return
    columns = ["category", "training rows"] + (["test rows"] if data.test is not None else [])
    show.table(f"{source}, images {data.train.shape}", columns, [[n, *map(str, c)] for n, c in counts.items()])


@app.command()
def fetch(source: str, root: Root = None) -> None:
    """Download a source and verify its checksums. Nothing else in selkd downloads.

    **Example**: `selkd data fetch cifar100`
    """
    from selkd.config import Workspace
    from selkd.data.fetch import fetch as run

    folder = root or Workspace.default().data
    with show.downloads() as progress:
        run(source, folder, progress=progress)
    show.out.print(f"{source} is in {folder}")
