"""Category policies in runs: what they read, what is recorded, and when the teacher's weights are needed."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from selkd.config import RunConfig, Workspace
from selkd.data import Part, Splits
from selkd.data.rows import ArrayRows
from selkd.errors import UserError
from selkd.selection import CATEGORIES
from selkd.students import evaluate
from selkd.tracking import TrialRecord, load_student
from selkd.training.run import Recording, train
from selkd.training.setup import Setup
from selkd.training.teach import teach
from selkd.training.workers import Workers

SUPERCLASSES = {"even": ("zero", "two", "four", "six", "eight"), "odd": ("one", "three", "five", "seven", "nine")}
CPU = torch.device("cpu")


def config(policy: Any = "most-confusable", objective: str = "kd", **changes: Any) -> RunConfig:
    plain: dict[str, Any] = {
        "data": {"rows_per_category": 8},
        "teacher": "untrained",
        "objective": objective,
        "selection": {"categories": policy},
        "student": {"model": "mlp", "hidden": [4]},
        "training": {"epochs": 1, "batch_size": 8},
        "workers": {"device": "cpu"},
    }
    return RunConfig.of(plain | changes)


@pytest.mark.parametrize("name", CATEGORIES)
def test_validation_and_test_rows_are_never_read(name: str, workspace: Workspace) -> None:
    run = config(name)
    setup = Setup.of(config("explicit"), workspace, Workers(), CPU)
    train_ids = setup.splits.train.index
    rows = setup.dataset.train
    pixels, labels = rows.pixels(torch.arange(len(rows))).numpy().copy(), rows.labels.clone()
    hidden = torch.ones(len(rows), dtype=torch.bool)
    hidden[train_ids] = False
    pixels[hidden.numpy()] = 255 - pixels[hidden.numpy()]
    labels[hidden] = (labels[hidden] + 3) % 10
    other = ArrayRows(pixels, labels)

    def choice(seen: Any, folder: str) -> Any:
        parts = Splits(*(Part(seen, part.index) for part in (setup.splits.train, setup.splits.validation,
                                                              setup.splits.test)))  # fmt: skip
        dataset = replace(setup.dataset, train=seen, superclasses=SUPERCLASSES)
        place = Workspace(workspace.root / folder)
        place.root.mkdir()
        (place.teachers).symlink_to(workspace.teachers)
        return Setup(run, place, Workers(), CPU, dataset, parts, setup.teacher).choice

    assert choice(rows, "as it is") == choice(other, "changed")


@pytest.mark.parametrize("mode", ["closed", "open"])
def test_a_student_of_a_chosen_subset_is_trained_recorded_and_evaluated(mode: str, workspace: Workspace) -> None:
    trained = train(
        config({"policy": "worst", "size": 3}, task={"mode": mode}), workspace, recording=Recording(deliver=False)
    )
    report = json.loads((trained.folder / "selection.json").read_text())
    chosen = report["categories"]["chosen"]
    recorded = TrialRecord(trained.folder).ledger.events()
    [tags] = [event["tags"] for event in recorded if event["event"] == "begin"]
    assert tags["selkd.categories"] == ", ".join(chosen)
    assert (tags["selkd.selection.categories"], tags["selkd.selection.samples"]) == ("worst", "all")
    assert report["categories"]["settings"]["size"] == len(chosen) == 3
    scores = report["categories"]["scores"]
    assert set(chosen) == set(sorted(scores, key=lambda name: -scores[name])[:3])
    assert "selection.json" in [event["path"] for event in recorded if event["event"] == "artifact"]
    assert load_student(trained.student)[1].categories == tuple(chosen)
    metrics = evaluate(trained.key, workspace=workspace).metrics
    assert metrics == {
        k.removeprefix("validation/"): v for k, v in trained.metrics.items() if k.startswith("validation/")
    }


def test_the_cross_entropy_student_is_of_the_same_subset(workspace: Workspace) -> None:
    setups = [Setup.of(config(objective=name), workspace, Workers(), CPU) for name in ("kd", "cross-entropy")]
    assert setups[0].choice == setups[1].choice
    assert setups[0].task.names == setups[1].task.names == setups[0].choice.categories


def test_stored_evidence_needs_no_weights_and_missing_evidence_names_them(workspace: Workspace) -> None:
    train(config(), workspace, recording=Recording(deliver=False))
    (workspace.teachers / "untrained" / "weights.safetensors").unlink()
    again = train(config(seed=1), workspace, recording=Recording(deliver=False))
    assert again.metrics["teacher/test/accuracy"] >= 0
    assert evaluate(again.key, workspace=workspace).metrics
    fresh = config(data={"rows_per_category": 9})
    with pytest.raises(UserError, match=r"weights\.safetensors: missing"):
        train(fresh, workspace)
    assert TrialRecord(workspace.runs / fresh.key).status is None


def test_damaged_weights_are_found_before_training_even_where_only_figures_need_them(workspace: Workspace) -> None:
    weights = workspace.teachers / "untrained" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    plain = config("first-k", objective="cross-entropy")
    with pytest.raises(UserError, match="does not match the checksum"):
        train(plain, workspace)
    assert TrialRecord(workspace.runs / plain.key).status is None


def test_a_choice_that_changed_since_the_run_began_is_refused(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = train(config("worst"), workspace, recording=Recording(deliver=False))
    monkeypatch.setitem(CATEGORIES, "worst", CATEGORIES["best"])
    with pytest.raises(UserError, match="its categories changed since it began"):
        evaluate(trained.key, workspace=workspace)


def test_a_policy_beside_named_categories_is_refused() -> None:
    with pytest.raises(UserError, match=r"task\.categories: .*does nothing with selection\.categories\.policy: random"):
        config("random", task={"categories": ["three"]})


def test_what_the_data_cannot_give_is_refused_by_its_key(workspace: Workspace) -> None:
    with pytest.raises(UserError, match=r"selection\.categories\.size: 11 categories are asked, and the data have 10"):
        Setup.of(config({"policy": "random", "size": 11}), workspace, Workers(), CPU)
    with pytest.raises(UserError, match=r"selection\.categories\.policy: superclass needs superclasses"):
        Setup.of(config("superclass"), workspace, Workers(), CPU)


def test_a_teacher_is_not_taught_a_subset(workspace: Workspace) -> None:
    with pytest.raises(UserError, match=r"selection\.categories: a teacher knows all categories"):
        teach(config("random", objective="cross-entropy"), workspace)


def test_the_plain_view_decides_under_augmentation(workspace: Workspace) -> None:
    """Stored views of augmented rows are for training; the choice does not depend on them."""
    plain = Setup.of(config(), workspace, Workers(), CPU).choice
    flipped = {"rows_per_category": 8, "augment": {"flip": True}}
    assert Setup.of(config(data=flipped), workspace, Workers(), CPU).choice == plain


def test_scores_are_recorded_in_the_order_of_the_data(workspace: Workspace) -> None:
    setup = Setup.of(config("diverse"), workspace, Workers(), CPU)
    assert tuple(setup.choice.scores) == setup.dataset.categories
    assert np.isfinite(list(setup.choice.scores.values())).all()
