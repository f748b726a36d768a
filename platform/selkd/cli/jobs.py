"""`selkd submit` and `selkd jobs`."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selkd.cli import show, wording

if TYPE_CHECKING:
    from selkd.cluster.job import Job
    from selkd.cluster.states import State
    from selkd.cluster.submission import Submission

app = typer.Typer(help="Look after submitted jobs: list, status, logs, stop, wait, resubmit.", no_args_is_help=True)
Name = Annotated[
    str, typer.Argument(metavar="JOB", help="Id of the job, or its name for the newest.", show_default=False)
]


def submit(
    job: Annotated[Path, typer.Argument(metavar="JOB", help="YAML file of the job.", show_default=False)],
    overrides: show.Overrides = None,
    render: Annotated[
        bool, typer.Option("--render", help="Print the manifests for Kubernetes, and submit nothing.")
    ] = False,
    json: show.Json = False,
) -> None:
    """Submit a job: a selkd command that runs on this machine, on a Ray cluster, or on Kubernetes.

    It is checked against its place first; what no node has is refused. The same job on the same working tree is
    submitted once, however often this is given.

    ```
    what: [sweep, fashion-open, concurrent=8]
    where: {ray: "http://127.0.0.1:8265"}        # or local, or kuberay
    resources: {cpu: {workers: 2, cpus: 4, memory: 8Gi}}
    retries: 2
    ```

    **Examples**

    `selkd submit jobs/local-demo.yaml`

    `selkd submit jobs/ray-sweep.yaml "where={ray: http://127.0.0.1:8265}"`

    `selkd submit jobs/kuberay-sweep.yaml --render > job.yaml`
    """
    from selkd.cluster.job import Job

    found = Job.read(job, overrides or [])
    _refuse_unknown(found)
    if render:
        _render(found)
        return
    from selkd.cluster.submission import submit as run

    submission = run(found)
    if json:
        show.print_json(submission.described() | {"new": submission.is_new})
        return
    for warning in submission.warnings:
        show.note(f"warning: {warning}")
    show.say(f"{submission.id}: {_said(submission)}")
    show.say(f"Next: `selkd jobs logs -f {submission.id}`, `selkd jobs wait {submission.id}`")


@app.command("list")
def list_jobs(json: show.Json = False) -> None:
    """List the jobs that were submitted from this workspace, the newest first."""
    from selkd.cluster.submission import submissions

    found = [one.described() for one in _reachable(submissions())]
    if json:
        show.print_json(found)
    elif not found:
        show.say("No jobs yet. Next: `selkd submit JOB.yaml`")
    else:
        rows = [
            [one["id"], one["status"], one["kind"], " ".join(one["what"]), (one["submitted"] or "")[:16]]
            for one in found
        ]
        show.table("", ["job", "status", "where", "what", "submitted (UTC)"], rows)


@app.command()
def status(name: Name, json: show.Json = False) -> None:
    """Show how a job stands."""
    from selkd.cluster.submission import find

    _print(find(name), json)


@app.command()
def logs(
    name: Name,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job ends.")] = False,
    json: show.Json = False,
) -> None:
    """Print what a job printed. Ctrl-C ends the printing, not the job."""
    from selkd.cluster.submission import find

    submission = find(name)
    try:
        for piece in submission.logs(follow):
            if json:
                typer.echo(_line({"job": submission.id, "log": piece}))
            else:
                sys.stdout.write(piece)
                sys.stdout.flush()
    except KeyboardInterrupt:
        show.note(f"the job goes on; end it with `selkd jobs stop {submission.id}`")


@app.command()
def stop(name: Name, json: show.Json = False) -> None:
    """End a job. Students save where they are first, and a study can be gone on with."""
    from selkd.cluster.submission import find

    submission = find(name)
    submission.stop()
    _print(submission, json)


@app.command()
def wait(
    name: Name,
    seconds: Annotated[float | None, typer.Option(help="At most so long; without end when absent.")] = None,
    json: show.Json = False,
) -> None:
    """Wait until a job has ended, and exit with its exit code.

    143 says that it was stopped, 124 that its deadline passed, or that `--seconds` did.
    """
    from selkd.cluster.states import PASSED_DEADLINE
    from selkd.cluster.submission import find

    submission = find(name)
    state = submission.wait(seconds)
    _print(submission, json)
    if code := state.exit_code if state.ended else PASSED_DEADLINE:
        raise typer.Exit(code)


@app.command()
def resubmit(name: Name, json: show.Json = False) -> None:
    """Run a job again that has ended, on the same working tree."""
    from selkd.cluster.submission import find

    _print(find(name).resubmit(), json)


def _render(job: "Job") -> None:
    """The manifests, for a person or kubectl to read."""
    from selkd.cluster.manifests import render
    from selkd.cluster.submission import tree_of
    from selkd.errors import UserError

    if job.where.kind != "kuberay":
        raise UserError(f"where: {job.where} has no manifests. Add where=kuberay.")
    named = tree_of(job)
    typer.echo(render(job.id(named and named.fingerprint), job, named), nl=False)


def _refuse_unknown(job: "Job") -> None:
    """A command that does not exist would be found out far away."""
    from selkd.cli.app import commands
    from selkd.errors import UserError, nearest

    if job.what[0] not in commands():
        raise UserError(f"what: {job.what[0]!r} is no selkd command. {nearest(job.what[0], commands())}")


def _reachable(found: "Iterable[Submission]") -> "Iterable[Submission]":
    """Jobs whose place answers; of the others it is said why they are left out."""
    from selkd.errors import UserError

    for one in found:
        try:
            one.state()
        except UserError as error:
            show.note(f"{one.id}: {error}")
        else:
            yield one


def _said(submission: "Submission") -> str:
    """`submitted to ray at ...; 412 files, 3.1 MB`, or how a job stands that was there before."""
    state = submission.state()
    if not submission.is_new:
        again = f"; run it again with `selkd jobs resubmit {submission.id}`" if state.ended else ""
        return f"submitted before, {_stands(state)}{again}"
    about = submission.record.about
    shipped = f"; {about['files']} files, {about['bytes'] / 1e6:.1f} MB" if about["files"] else ""
    return f"submitted to {submission.job.where}{shipped}"


def _stands(state: "State") -> str:
    code = f", exit code {state.exit_code}" if state.ended else ""
    return state.status + code + (f" ({state.reason})" if state.reason else "")


def _print(submission: "Submission", json: bool) -> None:
    if json:
        show.print_json(submission.described())
        return
    job = submission.job
    show.say(f"{submission.id}: {_stands(submission.state())}")
    show.say(f"Where: {job.where}; what: selkd {' '.join(job.what)}")
    if job.retries or job.deadline:
        limit = f", ended after {wording.duration(3600 * job.deadline)}" if job.deadline else ""
        show.say(f"Retries: {job.retries}{limit}")


def _line(content: dict[str, str]) -> str:
    import json

    return json.dumps(content)
