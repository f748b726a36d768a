"""`selkd teach` and `selkd train`."""

from pathlib import Path
from typing import Annotated

import typer

from selkd.cli import show


def train(
    config: Annotated[Path, typer.Argument(help="YAML file of the run.", show_default=False)],
    overrides: show.Overrides = None,
    fresh: Annotated[bool, typer.Option(help="Forget what this run did before and start again.")] = False,
    json: show.Json = False,
) -> None:
    """Train one student, and record it.

    The same configuration and seed give the same student. An interrupted run goes on from its last checkpoint when the
    same command is given again; a finished one is shown.

    **Examples**

    `selkd train student.yaml`

    `selkd train student.yaml objective.name=selkd objective.epsilon=2 seed=1`

    `selkd train student.yaml workers.count=4`
    """
    from selkd.config import RunConfig
    from selkd.training.run import train as run

    settings = RunConfig.read(config, overrides or [])
    with show.resumable(), show.progress(settings.name, quiet=json) as on_epoch:
        trained = run(settings, on_epoch=on_epoch, fresh=fresh)
    if json:
        show.print_json({"key": trained.key, "folder": trained.folder, "metrics": trained.metrics})
        return
    main = [(k, v) for k, v in sorted(trained.metrics.items()) if k.count("/") < 2 or k.startswith("teacher/test/")]
    show.table(settings.name, ["metric", "value"], [[k, show.number(v, 4)] for k, v in main])
    show.out.print(f"Student: {trained.student}")
    if not trained.delivered:
        show.out.print("Not everything reached MLflow yet: `selkd sync` delivers it.")
    show.out.print(f"Next: `selkd export {trained.folder.name} student.pt2`, `selkd ui`", highlight=False)


def teach(
    config: Annotated[Path, typer.Argument(help="YAML file of the run.", show_default=False)],
    overrides: show.Overrides = None,
    weights: Annotated[
        Path | None,
        typer.Option("--import", help="Import these weights (safetensors or a state dict) instead of training."),
    ] = None,
    json: show.Json = False,
) -> None:
    """Train a teacher on all categories, or import one, into the workspace's repository.

    The configuration is that of a run; `name` becomes the teacher's name and `student` its architecture.

    **Examples**

    `selkd teach teacher.yaml`

    `selkd teach teacher.yaml --import resnet56.safetensors`
    """
    from selkd.config import RunConfig
    from selkd.training.teach import import_teacher
    from selkd.training.teach import teach as run

    settings = RunConfig.read(config, overrides or [])
    if weights is not None:
        card = import_teacher(settings, weights)
    else:
        with show.resumable(), show.progress(settings.name, quiet=json) as on_epoch:
            card = run(settings, on_epoch=on_epoch)
    if json:
        show.print_json(card.model_dump(mode="json"))
        return
    rows = [[name, show.number(value)] for name, value in card.accuracy.items()]
    show.table(
        f"{card.name}: validation accuracy",
        ["category", "accuracy"],
        [*rows, ["all", show.number(card.validation_accuracy)]],
    )
    show.out.print(f"Next: write `teacher: {card.name}` into a student's configuration.", highlight=False)
