"""What is kept of a finished student: its scores, its answers, figures, and the student itself."""

from typing import TYPE_CHECKING

from selkd.files import writing
from selkd.models.classifier import Classifier
from selkd.models.deploy import acceptance
from selkd.tracking import TrialRecord, save_student
from selkd.training.evaluation import Scored, costs, probe, scored, scored_teacher
from selkd.training.selected import write_selection
from selkd.training.setup import Setup

if TYPE_CHECKING:
    import pandas as pd


def conclude(setup: Setup, student: Classifier, record: TrialRecord, figures: bool) -> None:
    """Score the finished student, read the test split once, and write what later comparisons need."""
    validation = scored(setup, student, setup.splits.validation)
    threshold = validation.threshold()
    setup.workers.lead(record.count_test_read)
    test = scored(setup, student, setup.splits.test)
    probed = probe(setup, student)
    setup.workers.lead(lambda: _write(setup, student, record, validation, test, probed, threshold, figures))


def _write(
    setup: Setup,
    student: Classifier,
    record: TrialRecord,
    validation: Scored,
    test: Scored,
    probed: "pd.DataFrame",
    threshold: float | None,
    figures: bool,
) -> None:
    found = {f"validation/{k}": v for k, v in validation.metrics(threshold).items()}
    found |= {f"test/{k}": v for k, v in test.metrics(threshold).items()}
    taught = {} if not setup.teachers else {part: scored_teacher(setup, part) for part in ("validation", "test")}
    for part, answers in taught.items():
        found |= {f"teacher/{part}/{k}": v for k, v in answers.metrics().items()}
    found |= costs(setup, student) | setup.rounds.costs()
    if threshold is not None:
        found["threshold"] = threshold
    frames = {
        "predictions-validation": validation.frame(taught.get("validation")),
        "predictions-test": test.frame(taught.get("test")),
        "probe": probed,
        "rows-used": setup.rounds.frame(setup.task.output_names),
    }
    if setup.weighing is not None:
        frames["ratios"] = setup.weighing.frame()
    for name, frame in frames.items():
        path = record.folder / f"{name}.parquet"
        with writing(path) as part:
            frame.to_parquet(part, index=False)
        record.artifact(path)
    if figures:
        _draw(setup, record, test)
    write_selection(setup, record)
    save_student(record.folder / "student", student, setup.card(threshold))
    record.finish("finished", found, None)


def _draw(setup: Setup, record: TrialRecord, test: Scored) -> None:
    from selkd.tracking.figures import confusion_figure, curves_figure, open_set_figure

    figures = {"confusion-test": confusion_figure(test.confusion(), setup.task.output_names)}
    figures["curves"] = curves_figure(record.history())
    if setup.task.mode == "open":
        k = setup.task.k
        right = test.logits[:, :k].argmax(1) == test.labels
        figures["open-set-test"] = open_set_figure(acceptance(test.logits), test.labels < k, right)
    for name, figure in figures.items():
        path = record.folder / "figures" / f"{name}.png"
        with writing(path) as part:
            figure.savefig(part, format="png", dpi=150)
        record.artifact(path, "figures")
