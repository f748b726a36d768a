"""Runs whose teachers know other categories than the data: what is trained, recorded and refused."""

import json
import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from selkd import models
from selkd.config import RunConfig, Workspace
from selkd.data import load
from selkd.errors import UserError
from selkd.models.classifier import Classifier
from selkd.models.teachers import TeacherRepository
from selkd.objectives.links import mapped
from selkd.tracking import TrialRecord
from selkd.training.run import fit, train
from selkd.training.setup import Setup
from selkd.training.workers import Workers
from selkd.weighting import WEIGHTINGS

CPU = torch.device("cpu")


def add(workspace: Workspace, name: str, categories: tuple[str, ...], *, seed: int = 0, side: int = 8) -> None:
    """A teacher with random weights, whose answers are as good as any to be reproduced."""
    torch.manual_seed(seed)
    network = models.build("mlp", channels=1, outputs=len(categories), image_size=side, hidden=[8])
    TeacherRepository(workspace.teachers).save(
        name, Classifier(network, [0.3], [0.3]), categories=categories, architecture="mlp", settings={"hidden": [8]},
        channels=1, image_size=side, data={"name": "digits", "fingerprint": ""}, accuracy={},
        validation_accuracy=0.1 * (1 + seed),
    )  # fmt: skip


@pytest.fixture
def cross(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path)
    load("digits", root=workspace.data)
    add(workspace, "odd", ("one", "three", "five"))
    add(workspace, "small", ("three", "thirteen"), seed=1, side=5)
    return workspace


def config(**changes: Any) -> RunConfig:
    plain: dict[str, Any] = {
        "data": {"rows_per_category": 8},
        "task": {"categories": ["three", "five"]},
        "student": {"model": "mlp", "hidden": [4]},
        "training": {"epochs": 2, "batch_size": 8},
        "workers": {"device": "cpu"},
        "teacher": "odd",
        "objective": "transport",
    }
    return RunConfig.model_validate(plain | changes)


BOTH = {"teachers": {"policy": "named", "weights": {"odd": 3, "small": 1}}}


def setup_of(settings: RunConfig, workspace: Workspace) -> Setup:
    return Setup.of(settings, workspace, Workers(), CPU)


@pytest.mark.parametrize("objective", ["transport", "mapped", "shared-kd"])
@pytest.mark.parametrize("mode", ["closed", "open"])
def test_a_student_learns_from_teachers_of_other_categories(objective: str, mode: str, cross: Workspace) -> None:
    task = {"categories": ["three", "five"], "mode": mode}
    trained = train(config(teacher=None, selection=BOTH, objective=objective, task=task), cross)
    assert trained.metrics["teacher/test/accuracy"] >= 0
    assert {"train/teacher", "train/truth"} <= set(trained.history.columns)
    chosen = json.loads((trained.folder / "selection.json").read_text())["teachers"]
    assert chosen["chosen"] == {"odd": 0.75, "small": 0.25}


def test_the_teacher_term_changes_the_student_and_switched_off_it_is_cross_entropy(cross: Workspace) -> None:
    def weights(**objective: Any) -> dict[str, torch.Tensor]:
        from selkd.tracking import load_student

        return load_student(train(config(objective=objective), cross).student)[0].state_dict()

    plain, off, on = weights(name="cross-entropy"), weights(name="transport", alpha=0), weights(name="transport")
    assert all(torch.equal(plain[key], off[key]) for key in plain)
    assert any(not torch.equal(plain[key], on[key]) for key in plain)


def test_stored_answers_give_the_student_that_online_ones_give(cross: Workspace) -> None:
    trained = [
        train(
            config(
                teacher=None, selection=BOTH, objective={"name": "transport", "kind": "regularised"},
                training={"epochs": 1, "batch_size": 8, "teacher": teacher},
            ),
            cross,
        )
        for teacher in ("stored", "online")
    ]  # fmt: skip
    stored, online = (one.history["train/teacher"].iloc[-1] for one in trained)
    assert stored == pytest.approx(online, rel=1e-5)


def test_answers_carried_to_the_task_lie_beside_the_students(cross: Workspace) -> None:
    trained = train(config(), cross)
    setup = setup_of(config(), cross)
    assert setup.faculty is not None
    rows = setup.splits.test
    kept = setup.task.keeps(rows.labels)
    images = rows.pixels(kept.nonzero().flatten()).float() / 255
    p = setup.teachers[0].logits(images).double().softmax(1)
    best = mapped(p, setup.faculty.links[0].cost, 0.05).argmax(1)
    told = pd.read_parquet(trained.folder / "predictions-test.parquet")["teacher"]
    assert list(told) == [setup.task.names[k] for k in best.tolist()]


def test_the_costs_of_all_teachers_share_one_unit(cross: Workspace) -> None:
    found = setup_of(config(teacher=None, selection=BOTH), cross).faculty
    assert found is not None
    alone = [setup_of(config(teacher=name), cross).faculty for name in ("odd", "small")]
    largest = [float(one.links[0].cost.max()) for one in alone if one is not None]
    assert max(float(one.cost.max()) for one in found.links) <= 1
    ratios = [one.cost / a.links[0].cost for one, a in zip(found.links, alone, strict=True) if a is not None]
    assert largest == [1.0, 1.0]
    assert all(ratio[ratio.isfinite()].std() < 1e-9 for ratio in ratios)


def test_a_teacher_or_a_description_that_changed_is_refused(cross: Workspace, tmp_path: Path) -> None:
    table = tmp_path / "costs.csv"
    names = load("digits", root=cross.data).categories
    line = ",".join(str(k) for k in range(1, 11))
    table.write_text("\n".join([",".join(["", *names]), *(f"{name},{line}" for name in ("one", "three", "five"))]))
    given = config(semantics={"source": "matrix", "file": str(table)})
    train(given, cross)
    assert train(given, cross).metrics
    table.write_text(table.read_text().replace("five,1,2,3,4,", "five,1,2,3,9,"))
    with pytest.raises(UserError, match="its semantics changed since it began"):
        train(given, cross)
    train(config(), cross)
    TeacherRepository(cross.teachers).remove("odd")
    add(cross, "odd", ("one", "three", "five"), seed=5)
    with pytest.raises(UserError, match="its teacher changed since it began"):
        train(config(), cross)


def test_the_best_of_a_repository_is_chosen_and_named_in_the_record(cross: Workspace) -> None:
    trained = train(config(teacher=None, selection={"teachers": "accuracy"}), cross)
    found = json.loads((trained.folder / "selection.json").read_text())["teachers"]
    assert found["chosen"] == {"small": 1.0}
    assert found["scores"] == pytest.approx({"odd": 0.1, "small": 0.2})
    said = [event.get("tags", {}) for event in TrialRecord(trained.folder).ledger.events()]
    assert {tags["selkd.teacher"] for tags in said if "selkd.teacher" in tags} == {"small"}


def test_cross_entropy_beside_it_ignores_a_teacher_of_other_categories(cross: Workspace) -> None:
    assert "teacher/test/accuracy" not in train(config(objective="cross-entropy"), cross).metrics


@pytest.mark.parametrize("mode", ["closed", "open"])
@pytest.mark.parametrize("objective", ["transport", "mapped", "shared-kd"])
@pytest.mark.parametrize("policy", sorted(set(WEIGHTINGS) - {"dp-transfer"}))
def test_every_weighting_mixes_labels_with_teachers_of_other_categories(
    policy: str, objective: str, mode: str, cross: Workspace
) -> None:
    weighting: dict[str, Any] = {"policy": policy}
    weighting |= {"fixed": {"ratio": 0.3}, "tgeo": {"dim": 4}}.get(policy, {})
    settings = config(
        task={"categories": ["three", "five"], "mode": mode}, objective=objective, weighting=weighting,
        data={"rows_per_category": 8, "outer": 0.25}, teacher=None, selection=BOTH,
        training={"epochs": 1, "batch_size": 6, "keep": "last"},
    )  # fmt: skip
    heard: list[dict[str, float]] = []
    setup, student = fit(settings, cross, Workers(), lambda epoch: heard.append(epoch.metrics), keep=False)
    assert 0 <= heard[-1]["ratio/mean"] <= 1
    assert all(value.isfinite().all() for value in student.state_dict().values())
    if settings.weighting.needs_outer:
        assert setup.weighing is not None
        fresh = Setup.of(settings, cross, Workers(), CPU).weighing
        assert fresh is not None
        pairs = zip(setup.weighing.policy.parameters(), fresh.policy.parameters(), strict=True)
        assert any(not torch.equal(moved, still) for moved, still in pairs), "the network learns"


def test_a_ratio_over_transport_is_that_of_the_objectives_weights(cross: Workspace) -> None:
    by_ratio = config(
        weighting={"policy": "fixed", "ratio": 0.25}, training={"epochs": 1, "batch_size": 8, "keep": "last"}
    )
    by_weights = config(
        objective={"name": "transport", "gamma": 0.75, "alpha": 0.25},
        training={"epochs": 1, "batch_size": 8, "keep": "last"},
    )
    one, other = (fit(each, cross, Workers(), lambda _: None, keep=False)[1] for each in (by_ratio, by_weights))
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weighting": "dp-transfer", "start": "a"}, "weighting.policy: 'dp-transfer' hands the objective answers"),
        ({"objective": "kd"}, "or objective.name: transport"),
        ({"teacher": "even"}, "no teacher 'even'"),
        ({"teacher": None}, "teacher: objective 'transport' needs one"),
        ({"selection": {"teachers": "random"}}, "teacher: does nothing where selection.teachers says which"),
        ({"selection": {"categories": "best"}, "task": {}}, "reads a teacher of the data's own categories"),
        ({"objective": {"name": "transport", "epsilon": 0}}, "objective.epsilon: 0 is refused"),
        ({"objective": {"name": "transport", "kind": "blunt"}}, "'blunt' is not allowed"),
        ({"semantics": "nmaes"}, "Did you mean 'names'"),
        ({"semantics": "vectors"}, "semantics.file: missing"),
        (
            {"teacher": None, "selection": {"teachers": {"policy": "random", "among": ["evn"]}}},
            "selection.teachers.among: no teacher 'evn'",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_key_and_remedy(changes: dict[str, Any], message: str, cross: Workspace) -> None:
    base = config().model_dump(mode="json") | {"objective": "transport", "selection": {}, "semantics": "names"}
    with pytest.raises(UserError, match=message):
        train(base | changes, cross)


def test_a_teacher_of_one_category_is_warned_of(cross: Workspace, caplog: pytest.LogCaptureFixture) -> None:
    add(cross, "lonely", ("three",))
    with caplog.at_level(logging.WARNING):
        train(config(teacher="lonely", training={"epochs": 1, "batch_size": 8}), cross)
    assert "teacher lonely has one category: it gives the same answer to every row" in caplog.text


def test_an_empty_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the repository holds no teacher"):
        train(config(teacher=None, selection={"teachers": "random"}), Workspace(tmp_path))
