"""`selkd cluster`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from selkd.cli import show

if TYPE_CHECKING:
    from selkd.cluster.head import Head

app = typer.Typer(help="A Ray cluster on this machine, for who has none: up, down, status.", no_args_is_help=True)


@app.command()
def up(
    cpus: Annotated[int | None, typer.Option(min=1, help="CPUs that it offers; all when absent.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the dashboard; a free one when absent.")
    ] = None,
    json: show.Json = False,
) -> None:
    """Start a Ray head on this machine, with a token, its dashboard on the loopback interface.

    Jobs on it see the variables that are set now; secrets of jobs are found among them.

    **Example**: `selkd cluster up --port 8265`
    """
    from selkd.cluster.head import up as run
    from selkd.config import Workspace

    head = run(Workspace.default(), cpus, port)
    if json:
        show.print_json(_described(head))
        return
    show.say(f"{head.address}: a Ray cluster of this machine. Its token is in {head.token}")
    show.say(f"Next: `selkd submit JOB.yaml \"where={{ray: '{head.address}'}}\"`, `selkd cluster down`")


@app.command()
def down(json: show.Json = False) -> None:
    """End the head that `selkd cluster up` started, and all that runs on it; no other process is touched."""
    from selkd.cluster.head import down as run
    from selkd.config import Workspace

    ended = run(Workspace.default())
    if json:
        show.print_json({"ended": ended})
    else:
        show.say("The cluster is down." if ended else "There was no cluster of this workspace.")


@app.command()
def status(json: show.Json = False) -> None:
    """Show the head of this workspace. Exit code 1 when there is none, or it died."""
    from selkd.cluster.head import Head
    from selkd.config import Workspace

    head = Head.of(Workspace.default())
    if json:
        show.print_json(_described(head))
    elif head is None:
        show.say("No cluster of this workspace. Next: `selkd cluster up`")
    else:
        dead = "" if head.alive else ": it died; `selkd cluster down` clears up, `selkd cluster up` starts another"
        show.say(f"{head.address}, token in {head.token}{dead}")
    if head is None or not head.alive:
        raise typer.Exit(1)


def _described(head: "Head | None") -> dict[str, Any]:
    if head is None:
        return {"address": None, "alive": False}
    return {
        "address": head.address,
        "alive": head.alive,
        "token": head.token,
        "processes": [p.pid for p in head.processes],
    }
