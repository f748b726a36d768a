"""What a ratio network learns where it is known whom to believe: a teacher that errs, or labels that do."""

from typing import Any

import pytest

from selkd.config import RunConfig, Workspace
from selkd.models.teachers import TeacherRepository
from selkd.training.loop import Epoch
from selkd.training.run import fit
from selkd.training.workers import Workers

SHARE, MARGIN, SEEDS = 0.3, 0.1, (0, 1, 2)
KNOWING = {"model": "mlp", "hidden": [64]}


def trained(workspace: Workspace, settings: dict[str, Any], epochs: int) -> tuple[Any, Any, dict[str, float]]:
    """Setup, student and metrics of the last epoch."""
    training = {"epochs": epochs, "batch_size": 25, "keep": "last", "optimiser": {"lr": 0.05}}
    config = RunConfig.model_validate({**settings, "training": training, "workers": {"device": "cpu"}})
    heard: list[Epoch] = []
    setup, student = fit(config, workspace, Workers(), heard.append, keep=False)
    return setup, student, heard[-1].metrics


@pytest.fixture(scope="module")
def knowing(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a teacher that knows the digits."""
    workspace = Workspace(tmp_path_factory.mktemp("knowing"))
    setup, student, metrics = trained(workspace, {"student": KNOWING}, epochs=15)
    categories, accuracy = setup.dataset.categories, metrics["validation/accuracy"]
    assert accuracy > 0.95
    TeacherRepository(workspace.teachers).save(
        "knowing",
        student,
        categories=categories,
        architecture="mlp",
        settings={"hidden": KNOWING["hidden"]},
        channels=1,
        image_size=8,
        data={"name": "digits", "fingerprint": setup.dataset.fingerprint},
        accuracy=dict.fromkeys(categories, accuracy),
        validation_accuracy=accuracy,
    )
    return workspace


def ratios(workspace: Workspace, seed: int, fault: str) -> dict[str, float]:
    """Mean ratios of the last epoch where teacher and label disagree about 30 % of the rows: one of them is wrong."""
    settings = {
        "seed": seed,
        "data": {"seed": seed, "rows_per_category": 60, "outer": 0.25, "faults": {fault: SHARE}},
        "teacher": "knowing",
        "student": {"model": "mlp", "hidden": [32]},
        "objective": {"name": "kd", "temperature": 2.0},
        "weighting": {"policy": "tgeo", "features": "summary", "dim": 32, "lr": 0.005, "outer_rows": 50},
    }
    return trained(workspace, settings, epochs=20)[2]


@pytest.fixture(scope="module")
def found(knowing: Workspace) -> dict[str, list[dict[str, float]]]:
    """Ratios of every seed, by what is wrong."""
    return {fault: [ratios(knowing, seed, fault) for seed in SEEDS] for fault in ("teacher", "labels")}


@pytest.mark.slow
def test_rows_that_the_teacher_gets_wrong_end_with_less_of_it(found: dict[str, list[dict[str, float]]]) -> None:
    for one in found["teacher"]:
        assert one["ratio/wrong"] < one["ratio/right"] - MARGIN


@pytest.mark.slow
def test_sound_outer_rows_tell_who_is_wrong_where_teacher_and_label_disagree(
    found: dict[str, list[dict[str, float]]],
) -> None:
    """The teacher where it errs, the label where labels do. Where labels err, other rows trust the teacher as well."""
    for teacher_errs, labels_err in zip(found["teacher"], found["labels"], strict=True):
        assert teacher_errs["ratio/wrong"] < 0.5 < labels_err["ratio/wrong"]
        assert teacher_errs["ratio/wrong"] < labels_err["ratio/wrong"] - MARGIN
