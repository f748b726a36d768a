"""`selkd teachers`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selkd.cli import show

if TYPE_CHECKING:
    from selkd.models.teachers import TeacherRepository

app = typer.Typer(
    help="Keep many teachers: list, inspect, add, train, remove, verify, rank and judge them.",
    no_args_is_help=True,
)
Name = Annotated[str, typer.Argument(help="Name of a teacher of the workspace.", show_default=False)]


@app.command("list")
def list_teachers(json: show.Json = False) -> None:
    """List the teachers by name. Those that cannot be read are named with the reason.

    **Example**: `selkd teachers list --json`
    """
    cards, broken = _repository().cards()
    if json:
        show.print_json({"teachers": [card.model_dump(mode="json") for card in cards.values()], "broken": broken})
        return
    rows = [
        [name, card.architecture, card.data.name, str(len(card.categories)),
         show.number(card.validation_accuracy)]
        for name, card in cards.items()
    ]  # fmt: skip
    show.table("Teachers", ["teacher", "architecture", "data", "categories", "validation accuracy"], rows)
    for reason in broken.values():
        show.note(f"skipped: {reason}")


@app.command("show")
def show_teacher(name: Name, json: show.Json = False) -> None:
    """Show what a teacher knows, and how well it knows it.

    **Example**: `selkd teachers show digits-teacher`
    """
    card = _repository().load(name).card
    if json:
        show.print_json(card.model_dump(mode="json") | {"fingerprint": card.fingerprint})
        return
    rows = [[each, show.number(card.accuracy.get(each))] for each in card.categories]
    title = f"{name}: {card.architecture}, trained on {card.data.name}"
    show.table(title, ["category", "accuracy"], [*rows, ["all", show.number(card.validation_accuracy)]])
    show.say(f"reads {card.channels} x {card.image_size} x {card.image_size} images; {card.created_by}")


@app.command()
def add(
    source: Annotated[
        str,
        typer.Argument(help="A finished run's key, a folder with card.json, or a file of weights.", show_default=False),
    ],
    name: Annotated[str | None, typer.Option(help="Its name; the run's or file's own when absent.")] = None,
    description: Annotated[
        Path | None, typer.Option(help="JSON that says what a file of weights is.", show_default=False)
    ] = None,
    json: show.Json = False,
) -> None:
    """Make a teacher of a finished closed student, of somebody's teacher, or of weights and their description.

    **Examples**

    `selkd teachers add animals-1f3a5c7e90 --name animals`

    `selkd teachers add usb/teachers/animals`

    `selkd teachers add animals.safetensors --description animals.json`
    """
    from selkd.teachers import add as run

    card = run(source, name, description=description)
    if json:
        show.print_json(card.model_dump(mode="json"))
        return
    show.say(f"{card.name}: a teacher of {len(card.categories)} categories")


@app.command()
def train(
    pool: Annotated[str, typer.Argument(help="A ready pool's name, or the YAML file of one.", show_default=False)],
    overrides: show.Overrides = None,
    json: show.Json = False,
) -> None:
    """Train the teachers of a pool that the repository lacks: many small ones, each of some categories.

    Whatever interrupts it, the same command goes on; teachers that are there are left as they are. A pool is a file
    such as

    ```
    base: {data: {source: digits}, training: {epochs: 15}}
    teachers: {low: {task.categories: [zero, one]}, high: {task.categories: [eight, nine]}}
    ```

    **Examples**

    `selkd teachers train digits-pool`

    `selkd teachers train pool.yaml base.training.epochs=5`
    """
    from selkd.pools import Pool, train_pool
    from selkd.sweeps.ready import pool_of

    found = Pool.read(pool_of(pool), overrides or [])

    def tell(name: str, done: int, total: int) -> None:
        if not json:
            show.note(f"{name}: {done} of {total} teachers are there")

    with show.resumable(), show.progress(found.name, quiet=json or not show.err.is_terminal) as on_epoch:
        cards = train_pool(found, watch=tell, on_epoch=on_epoch)
    if json:
        show.print_json({name: card.model_dump(mode="json") for name, card in cards.items()})
        return
    rows = [[name, str(len(card.categories)), show.number(card.validation_accuracy)]
            for name, card in cards.items()]  # fmt: skip
    show.table(f"{found.name}: {len(cards)} teachers", ["teacher", "categories", "validation accuracy"], rows)


@app.command()
def remove(name: Name, json: show.Json = False) -> None:
    """Remove a teacher, broken or not.

    **Example**: `selkd teachers remove animals`
    """
    _repository().remove(name)
    if json:
        show.print_json({"removed": name})
        return
    show.say(f"{name} is removed")


@app.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Teachers; all when absent.", show_default=False)] = None,
    json: show.Json = False,
) -> None:
    """Read the weights of teachers and compare them with their cards. Exit code 1 when one is broken.

    **Example**: `selkd teachers verify`
    """
    repository = _repository()
    faults = {name: repository.fault(name) for name in names or repository.names()}
    if json:
        show.print_json(faults)
    else:
        for name, fault in faults.items():
            show.say(f"{name}: {fault or 'whole'}")
    if any(faults.values()):
        raise typer.Exit(1)


@app.command()
def rank(
    task: Annotated[Path, typer.Argument(help="YAML file of a run: its data and its task.", show_default=False)],
    overrides: show.Overrides = None,
    cpus: Annotated[int, typer.Option(min=1, help="Teachers asked at once; more than one through Ray.")] = 1,
    json: show.Json = False,
) -> None:
    """Rank the teachers for a task by the transport cost between the two, the lower the better.

    `selection.teachers` says how far to look: level 0 reads categories alone, level 1 shows training rows to teachers,
    level 2 also trains one student briefly, for all of them together. Other scores stand beside it.

    **Examples**

    `selkd teachers rank student.yaml`

    `selkd teachers rank student.yaml selection.teachers.policy=transport selection.teachers.level=2 --cpus 4`
    """
    from selkd.ranking import rank as run

    found = run(task, overrides=overrides or (), cpus=cpus)
    lines = found.table.reset_index().to_dict("records")
    if json:
        skipped, spent = dict(found.skipped), dict(found.spent)
        show.print_json({"teachers": lines, "skipped": skipped, "spent": spent, "folder": found.folder})
        return
    names = [str(name) for name in found.table.columns]
    costs = [name for name in names if name == "cost" or name.startswith("level ")]
    rows = [[str(line["teacher"]), *(show.number(line[name]) for name in costs), show.number(line["passes"], 0)]
            for line in lines]  # fmt: skip
    show.table("Teachers, the best first: what transport costs", ["teacher", *costs, "passes"], rows)
    others = [name for name in names if name not in (*costs, "rank", "passes")]
    rows = [[str(line["teacher"]), *(show.number(line[name]) for name in others)] for line in lines]
    show.table("What other scores say of them, high being good", ["teacher", *others], rows)
    for reason in found.skipped.values():
        show.note(f"skipped: {reason}")
    spent = [f"{show.number(value, 1 if 'seconds' in name else 0)} {name}" for name, value in found.spent.items()]
    show.say(f"spent: {', '.join(spent)}")
    show.say(f"{found.folder}: ranking.json, transport.png")


@app.command()
def judge(
    study: Annotated[str, typer.Argument(help="A study that searched over teachers.", show_default=False)],
    semantics: Annotated[
        str | None,
        typer.Option(
            help="Costs of the scores, as YAML: `names`, `{source: vectors, file: my.csv}`. Default: the students'."
        ),
    ] = None,
    json: show.Json = False,
) -> None:
    """Say how well each score of teachers foretold what their students became.

    Every teacher of the study is scored on the training rows that its students had. Beside the rank correlations stands
    what the score's first choice falls short of the best teacher, and what each score takes.

    **Examples**

    `selkd teachers judge digits-cross-task`

    `selkd teachers judge digits-cross-task --semantics sentences`
    """
    from selkd.config import parse
    from selkd.judging import judge as run

    watch = show.seldom(lambda done, total: f"teachers scored for {done} of {total} sets of rows")
    said = None if semantics is None else parse(semantics, "--semantics")
    found = run(study, semantics=said, watch=(lambda done, total: None) if json else watch)
    if json:
        show.print_json(found.as_json() | {"folder": found.folder})
        return
    for setting, mine in found.scores.groupby("setting", sort=False):
        rows = [
            [line["score"], *(_between(line, name) for name in ("kendall", "spearman", "regret"))]
            for line in mine.to_dict("records")
        ]
        about = f"{setting}: {mine['teachers'].iloc[0]} teachers, {mine['seeds'].iloc[0]} seeds"
        show.table(about, ["score", "kendall", "spearman", "regret"], rows)
    known = ["setting", "overlap", "teachers", "outcome", "without", "gain"]
    gains = [
        [line["setting"], *(show.number(line[name], 2 if name == "overlap" else 3) for name in known[1:5]),
         _between(line, "gain")]
        for line in found.gains.to_dict("records")
    ]  # fmt: skip
    show.table("Gain over students without a teacher, by the share of categories that teachers know", known, gains)
    costs = [[line["score"], *(show.number(line[name], 1) for name in ("rows shown", "updates", "seconds"))]
             for line in found.costs.to_dict("records")]  # fmt: skip
    show.table("What each takes for one set of rows, alone", ["score", "rows shown", "updates", "seconds"], costs)
    for line in found.left_out:
        show.note(f"left out: {line}")
    show.say(f"{found.folder}: judgement.json, scores.csv, agreement.png")


def _between(line: dict[str, Any], name: str) -> str:
    """A value with its interval."""
    low, high = show.number(line[f"{name} low"]), show.number(line[f"{name} high"])
    return f"{show.number(line[name])} ({low} to {high})"


def _repository() -> "TeacherRepository":
    from selkd.config import Workspace
    from selkd.models.teachers import TeacherRepository

    return TeacherRepository(Workspace.default().teachers)
