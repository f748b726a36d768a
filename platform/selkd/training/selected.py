"""What a run selected, written beside its record: categories and teachers, what decided, how often rows were used."""

from selkd.files import write_json
from selkd.tracking import TrialRecord
from selkd.training.setup import Setup


def write_selection(setup: Setup, record: TrialRecord) -> None:
    """`selection.json`: policies, their settings, the subset chosen, the scores that decided, and what was spent."""
    selection, choice = setup.config.selection, setup.choice
    path = record.folder / "selection.json"
    teachers = {} if setup.faculty is None else {
        "teachers": {"settings": selection.teachers.model_dump(mode="json"), **setup.faculty.report()}
    }  # fmt: skip
    write_json(
        path,
        {
            **teachers,
            "categories": {
                "settings": selection.categories.model_dump(mode="json"),
                "chosen": list(choice.categories),
                "scores": dict(choice.scores),
            },
            "samples": {"settings": selection.samples.model_dump(mode="json"), **setup.rounds.report()},
        },
    )
    record.artifact(path)
