"""`selkd evaluate`, `selkd predict` and `selkd export`."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from selkd.cli import show

Student = Annotated[
    str,
    typer.Argument(
        help="A run's key, a folder that holds a student, or models:/NAME@ALIAS, models:/NAME/VERSION or "
        "runs:/ID/student of MLflow.",
        show_default=False,
    ),
]


def evaluate(
    student: Student,
    part: Annotated[
        Literal["validation", "test"], typer.Option(help="Which rows; a reading of test is recorded.")
    ] = "validation",
    json: show.Json = False,
) -> None:
    """Score a recorded student again on the rows of its run.

    **Example**: `selkd evaluate open-selkd-1f3a5c7e90 --part test`
    """
    from selkd.students import evaluate as run

    metrics = run(student, part).metrics
    if json:
        show.print_json(metrics)
        return
    show.table(f"{student}, {part}", ["metric", "value"], [[k, show.number(v, 4)] for k, v in metrics.items()])


def predict(
    student: Student,
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.", show_default=False)],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write a CSV file instead of a table.")] = None,
    json: show.Json = False,
) -> None:
    """Answer for image files: the category, or "not selected".

    **Examples**

    `selkd predict open-selkd-1f3a5c7e90 photos/ --output answers.csv`

    `selkd predict models:/open-selkd@champion photos/`
    """
    from selkd.files import writing
    from selkd.students import predict as run

    frame = run(student, images)
    answers = frame.to_dict("records")
    if output is not None:
        with writing(output) as part:
            frame.to_csv(part, index=False)
    if json:
        show.print_json(answers)
    elif output is not None:
        show.out.print(f"{len(frame)} answers in {output}", markup=False, highlight=False)
    else:
        rows = [[str(answer["file"]), str(answer["category"]), _sure(answer)] for answer in answers]
        show.table(student, ["file", "category", "probability"], rows)


def _sure(answer: dict[Any, Any]) -> str:
    """The probability of the answer; of a rejected row, what the threshold was compared with."""
    from selkd.data.tasks import NOT_SELECTED

    if answer["rejected"]:
        return f"acceptance {show.number(1 - answer[f'p/{NOT_SELECTED}'])}"
    return show.number(answer[f"p/{answer['category']}"])


def export(
    student: Student,
    output: Annotated[Path, typer.Argument(help="File to write, for example student.pt2.", show_default=False)],
    json: show.Json = False,
) -> None:
    """Write a student as one torch.export program: preprocessing, category names and threshold inside.

    The file is loaded again and compared with the student before it gets its name.

    **Examples**

    `selkd export open-selkd-1f3a5c7e90 student.pt2`

    `selkd export models:/open-selkd@champion student.pt2`
    """
    from selkd.students import export as run

    difference = run(student, output)
    if json:
        show.print_json({"file": output, "largest_difference": difference})
        return
    show.out.print(f"{output}: checked against the student, largest difference {difference:.1g}", highlight=False)
