"""`selkd doctor`, `selkd sync` and `selkd ui`."""

import os
import sys
from typing import Annotated

import typer

from selkd.cli import show

Quick = Annotated[bool, typer.Option("--quick", help="Only what takes under a second.")]


def doctor(quick: Quick = False, json: show.Json = False) -> None:
    """Check installation, devices, Ray, MLflow, disk space and data, and say what to do.

    Exit code 1 when something that selkd needs is broken.
    """
    from selkd.cli.checks import run_checks

    checks = run_checks(quick)
    if json:
        show.print_json([check.__dict__ for check in checks])
    else:
        marks = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "broken": "[bold red]broken[/]"}
        for check in checks:
            show.out.print(f"{marks[check.state]:<8} {check.name}: ", end="")
            show.say(check.found)
            if check.remedy:
                show.out.print(f"         {check.remedy}", style="dim", markup=False, highlight=False)
    if any(check.state == "broken" for check in checks):
        raise typer.Exit(1)


def sync(json: show.Json = False) -> None:
    """Deliver to MLflow, and to the store of SELKD_STORE, what slow or absent servers have not received yet."""
    from selkd.config import Workspace
    from selkd.sweeps.studies import LOCK
    from selkd.tracking import sync as run
    from selkd.tracking.stored import publish_all

    publish_all(Workspace.default().root, LOCK)
    delivered = run(Workspace.default().root)
    if json:
        show.print_json(dict(delivered))
        return
    for trial, events in delivered:
        show.out.print(f"{trial}: {events} events delivered", highlight=False)
    if not delivered:
        show.out.print("Everything is delivered.")


def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the page.")] = 5000,
    host: Annotated[
        str, typer.Option(help="Address to listen on; the default admits this machine only.")
    ] = "127.0.0.1",
) -> None:
    """Open MLflow's pages on the recorded students. Ctrl-C ends it.

    Where MLFLOW_TRACKING_URI names a server, its pages are there already: the address is printed.
    """
    from selkd.config import Workspace
    from selkd.tracking import tracking_uri
    from selkd.tracking.provenance import without_password

    uri = tracking_uri(Workspace.default().root)
    if uri.startswith(("http://", "https://")):
        show.say(f"{without_password(uri)} shows the recorded students.")
        return
    show.say(f"http://{host}:{port} shows {without_password(uri)}")
    arguments = ["-m", "mlflow", "ui", "--backend-store-uri", uri, "--host", host, "--port", str(port)]
    os.execv(sys.executable, [sys.executable, *arguments])
