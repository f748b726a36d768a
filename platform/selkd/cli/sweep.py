"""`selkd sweep`."""

from typing import TYPE_CHECKING, Annotated

import typer

from selkd.cli import show

if TYPE_CHECKING:
    from selkd.config import Workspace
    from selkd.sweeps.space import SearchSpace
    from selkd.sweeps.state import State
    from selkd.sweeps.studies import Study


def sweep(
    space: Annotated[
        str | None, typer.Argument(metavar="SPACE", help="YAML file of the search space, or a ready one's name.")
    ] = None,
    overrides: show.Overrides = None,
    resume: Annotated[
        str | None, typer.Option(metavar="NAME", help="Go on with this study, as its own record describes it.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show size, ten candidates and estimated cost; run nothing.")
    ] = False,
    changed: Annotated[bool, typer.Option("--changed", help="Go on although the search space changed.")] = False,
    extend: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="More seeds for what this finished study chose, as `selkd compare` needs them."
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="With --extend: what is compared, where the study declared nothing."),
    ] = None,
    difference: Annotated[
        float | None, typer.Option(metavar="D", help="With --extend: the difference to be told, such as 0.01.")
    ] = None,
    json: show.Json = False,
) -> None:
    """Run a study: train a student for each candidate of a search space, and record them all.

    Whatever interrupts it (Ctrl-C, a crash, a full disk), the same command goes on and no finished student is trained
    again. Ctrl-C lets students save where they are; a second one ends at once.

    A search space is a YAML file such as

    ```
    base: student.yaml
    search: {objective.name: {choice: [kd, selkd]}, objective.epsilon: declared}
    metrics: validation/accuracy
    budget: {candidates: 50, seeds: 3}
    ```

    **Examples**

    `selkd sweep space.yaml --dry-run`

    `selkd sweep space.yaml budget.candidates=20 concurrent=2`

    `selkd sweep --resume closed-sinkhorn budget.candidates=80`

    `selkd sweep --extend fashion-open`
    """
    if not json:
        show.err.print("Loading libraries ...")
    from selkd.cli.preview import print_preview
    from selkd.cli.studies import described, print_study
    from selkd.config import Workspace
    from selkd.errors import UserError

    workspace = Workspace.default()
    if extend is not None:
        if given := [name for name in (space, resume) if name]:
            raise UserError(f"{given[0]}: --extend {extend} reads everything from the study itself. Leave one out.")
        _extend(extend, by, difference, workspace, dry_run, json)
        return
    if by is not None or difference is not None:
        raise UserError("--by and --difference say what an extension is for. Add --extend NAME.")
    given = _space(space, overrides or [], resume, workspace)
    if dry_run:
        print_preview(given, workspace, json)
        return
    study = watched(given, workspace, changed=changed, quiet=json)
    if json:
        show.print_json(described(study))
    else:
        print_study(study)
    refuse_unfinished(study)


def watched(space: "SearchSpace", workspace: "Workspace", *, changed: bool = False, quiet: bool = False) -> "Study":
    """Run a study and show it at work."""
    from selkd.cli.watch import watching
    from selkd.sweeps.run import sweep as run

    with show.resumable(), watching(space, workspace, standing(space.name, workspace), quiet) as view:
        return run(space, workspace, watch=view.watch, on_teacher_epoch=view.teaching, changed=changed)


def _extend(
    name: str, by: str | None, difference: float | None, workspace: "Workspace", dry_run: bool, json: bool
) -> None:
    """Train the seeds that a study's comparison wants, and say what that changed."""
    from selkd.cli.watch import watching
    from selkd.extend import extend, extension
    from selkd.sweeps.studies import Study

    found = extension(name, by, difference=difference, workspace=workspace)
    if not json:
        show.note(
            f"{name}: {len(found.candidates)} chosen candidates go on from {found.before} to {found.seeds} seeds "
            f"({found.reason})."
        )
    if not dry_run:
        before = Study.read(name, workspace)
        with show.resumable(), watching(before.space, workspace, before.state, json) as view:
            refuse_unfinished(extend(found, workspace, watch=view.watch))
    if json:
        show.print_json(found.__dict__)
    elif not dry_run:
        show.say(f"Now: selkd compare {name}" + (f" --by {by}" if by else ""))


def _space(space: str | None, overrides: list[str], resume: str | None, workspace: "Workspace") -> "SearchSpace":
    """The search space that is meant: from a file, a ready one, or from a study's own record."""
    from selkd.config import override, validate
    from selkd.errors import UserError
    from selkd.sweeps.ready import path_of, ready
    from selkd.sweeps.space import SearchSpace
    from selkd.sweeps.studies import Study

    if resume is not None:
        given = [] if space is None else [space, *overrides]
        if given and "=" not in given[0]:
            raise UserError(
                f"{given[0]}: --resume {resume} reads the space from the study itself. Leave one of them out."
            )
        return validate(SearchSpace, override(Study.read(resume, workspace).state.space, given), f"study {resume}")
    if space is None:
        shown = ", ".join(ready()) or "none"
        raise UserError(f"no search space: name a YAML file, a ready space ({shown}), or a study with --resume NAME.")
    return SearchSpace.read(path_of(space), overrides)


def standing(name: str, workspace: "Workspace") -> "State":
    """How the study stands before it goes on; nothing yet where it is new."""
    from selkd.sweeps.state import State
    from selkd.sweeps.studies import Study, names

    return Study.read(name, workspace).state if name in names(workspace) else State()


def refuse_unfinished(study: "Study") -> None:
    """The exit code of a study that did not try everything."""
    from selkd.errors import UserError

    stopped = study.state.stopped or ""
    if study.state.finished:
        return
    if stopped.startswith("cannot go on"):
        raise UserError(f"{study.name}: {stopped}. Mend that; the same command goes on.")
    raise show.Interrupted
