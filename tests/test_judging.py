"""Judging scores by a study: which students count, what scores see, exact figures, cost, and the command."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from selkd import models
from selkd.cli import teachers as command
from selkd.config import Workspace
from selkd.data import Part, load
from selkd.errors import UserError
from selkd.judging import Judgement, judge
from selkd.judging.run import scorers
from selkd.models.card import WEIGHTS
from selkd.models.classifier import Classifier
from selkd.models.teachers import TeacherRepository
from selkd.sweeps.space import SearchSpace
from selkd.tracking import StudyRecord
from selkd.training.asking import TaskSample
from selkd.training.setup import rows_of

NAMES = ("both", "none", "one")
OVERLAP = {"both": 1.0, "one": 0.5, "none": 0.0}
SPACE: dict[str, Any] = {
    "name": "judged",
    "base": {
        "data": {"source": "digits", "rows_per_category": 8},
        "task": {"categories": ["three", "five"]},
        "student": {"model": "mlp", "hidden": [4]},
        "training": {"epochs": 1, "batch_size": 8},
        "workers": {"device": "cpu"},
        "semantics": "zero-one",
    },
    "search": {
        "objective.name": {"grid": ["cross-entropy", "transport"]},
        "teacher": {"grid": list(NAMES), "when": {"objective.name": "transport"}},
    },
    "metrics": "validation/accuracy",
    "budget": {"seeds": 2, "resplit": True},
    "sampler": "grid",
}
ROWS = 2 * 8 * len(NAMES)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return filled(Workspace(tmp_path))


def filled(workspace: Workspace) -> Workspace:
    """Teachers that know both categories of the task, one, and none."""
    repository = TeacherRepository(workspace.teachers)
    data = load("digits", root=workspace.data)
    for name, known in {"both": ("three", "five"), "one": ("five", "zero"), "none": ("one", "two", "six")}.items():
        torch.manual_seed(NAMES.index(name))  # equal networks share their answers
        network = models.build("mlp", channels=1, outputs=len(known), image_size=8, hidden=[4])
        repository.save(
            name, Classifier(network, data.mean, data.std), categories=known, architecture="mlp",
            settings={"hidden": [4]}, channels=1, image_size=8, data={"name": "digits", "fingerprint": ""},
            accuracy={}, validation_accuracy=OVERLAP[name],
        )  # fmt: skip
    return workspace


def record(workspace: Workspace, outcomes: Mapping[str | None, Sequence[float | None]]) -> None:
    """A study as if it had been run: the outcome of each teacher's student for each seed; None did not finish."""
    space = SearchSpace.model_validate(SPACE)
    study = StudyRecord(workspace.studies / space.name)
    study.begin(space.name, space.model_dump(mode="json", by_alias=True), {})
    for number, (teacher, values) in enumerate(outcomes.items()):
        parameters = {"objective.name": "cross-entropy"} | (
            {"objective.name": "transport", "teacher": teacher} if teacher else {}
        )
        trials = [(f"{number}-{seed}", seed, "student") for seed in range(len(values))]
        study.propose(number, parameters, [{"key": k, "seed": s, "role": r} for k, s, r in trials])
        for (key, _, _), value in zip(trials, values, strict=True):
            if value is not None:
                study.end_trial(key, "finished", {"test/accuracy": value, "validation/accuracy": 0.5}, None, 1.0)


WHOLE: dict[str | None, list[float | None]] = {
    None: [0.5, 0.5], "both": [0.9, 0.9], "one": [0.7, 0.8], "none": [0.4, 0.6],
}  # fmt: skip


def row(table: pd.DataFrame, score: str) -> dict[str, Any]:
    return dict(table.set_index("score").loc[score])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a study that lacks nothing."""
    workspace = filled(Workspace(tmp_path_factory.mktemp("whole")))
    record(workspace, WHOLE)
    return workspace


@pytest.fixture(scope="module")
def shown() -> list[tuple[Part, Part]]:
    """Training rows of the task, and what of them was shown, whenever a score asked."""
    return []


@pytest.fixture(scope="module")
def judged(whole: Workspace, shown: list[tuple[Part, Part]]) -> Judgement:
    def told(self: TaskSample, rows: int) -> Part:
        shown.append((self.rows, asked(self, rows)))
        return shown[-1][1]

    asked = TaskSample.shown
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TaskSample, "shown", told)
        return judge("judged", whole)


def test_a_score_in_the_outcomes_order_is_perfect(judged: Judgement) -> None:
    found = row(judged.scores, "overlap")
    assert (found["kendall"], found["spearman"], found["regret"]) == (1, 1, 0)
    assert (found["teachers"], found["seeds"]) == (3, 2)


def test_outcomes_in_reverse_give_minus_one_and_the_whole_regret(workspace: Workspace) -> None:
    record(workspace, {"both": [0.4, 0.4], "one": [0.6, 0.6], "none": [0.9, 0.9]})
    found = row(judge("judged", workspace).scores, "accuracy")
    assert (found["kendall"], found["spearman"]) == (-1, -1)
    assert found["regret"] == pytest.approx(0.5)


def test_gains_over_students_without_a_teacher_are_told_by_overlap(judged: Judgement) -> None:
    gains = judged.gains
    assert list(gains["overlap"]) == [0, 0.5, 1]
    assert gains["gain"].tolist() == pytest.approx([0, 0.25, 0.4])
    assert gains["without"].tolist() == [0.5, 0.5, 0.5]


def test_every_score_is_judged_on_training_rows_of_the_students_own_splits(
    judged: Judgement, whole: Workspace, shown: list[tuple[Part, Part]]
) -> None:
    assert set(judged.scores["score"]) == set(scorers(3)) > {"level 0", "level 1", "level 2", "leep", "nce", "logme"}
    assert shown
    trained = {}
    for seed in (0, 1):
        data = SearchSpace.model_validate(SPACE).config({"objective.name": "cross-entropy"}, seed).data
        part = rows_of(data, whole)[1].train
        trained[seed] = set(part.ids[torch.isin(part.labels, torch.tensor([3, 5]))].tolist())
    assert {frozenset(rows.ids.tolist()) for rows, _ in shown} == {frozenset(ids) for ids in trained.values()}
    assert all(set(part.ids.tolist()) <= set(rows.ids.tolist()) for rows, part in shown)


def test_costs_are_those_of_each_score_alone_from_nothing(judged: Judgement) -> None:
    costs = judged.costs.set_index("score")  # taken last, when everything was known
    shown = costs["rows shown"].to_dict()
    assert [shown[name] for name in ("level 0", "random", "accuracy", "overlap")] == [0, 0, 0, 0]
    assert [shown[name] for name in ("level 1", "level 2", "leep", "nce", "logme")] == [ROWS] * 5
    assert (costs["updates"]["level 2"], costs["updates"].sum()) == (200, 200)


def test_teachers_with_missing_seeds_are_left_out(workspace: Workspace) -> None:
    record(workspace, WHOLE | {"one": [0.7, None]})
    with pytest.raises(UserError, match="no setting has 3 teachers"):
        judge("judged", workspace)
    assert not (workspace.root / "rankings").exists()


def test_a_study_in_the_middle_of_further_seeds_is_judged_by_those_that_all_have(workspace: Workspace) -> None:
    record(
        workspace, {name: [*outcomes, None, None] for name, outcomes in WHOLE.items()} | {"one": [0.7, 0.8, 0.1, None]}
    )
    found = judge("judged", workspace)
    judged = found.students.groupby("teacher")["seed"].apply(sorted)
    assert judged.to_dict() == {"both": [0, 1], "none": [0, 1], "one": [0, 1]}
    assert any("seeds that few teachers have finished: 2" in line for line in found.left_out)


def test_scores_under_another_description_of_categories(judged: Judgement, whole: Workspace) -> None:
    """Others than the students': costs change, and with them the levels; what reads no costs stays."""
    found = judge("judged", whole, semantics={"source": "names", "characters": 2})
    assert found.folder != judged.folder
    columns = ["setting", "seed", "teacher", "outcome", "overlap", "leep", "logme"]
    assert found.students[columns].equals(judged.students[columns])
    assert not found.students["level 1"].equals(judged.students["level 1"])
    with pytest.raises(UserError, match=r"semantics.source: 'nmaes' is unknown. Did you mean 'names'"):
        judge("judged", whole, semantics="nmaes")


def test_teachers_that_cannot_be_asked_are_left_out(workspace: Workspace) -> None:
    record(workspace, WHOLE | {"lost": [0.9, 0.1]})
    found = judge("judged", workspace)
    assert set(found.students["teacher"]) == {"both", "one", "none"}
    assert any("lost: no longer in the repository" in line for line in found.left_out)
    (workspace.teachers / "one" / WEIGHTS).write_bytes(b"cut")
    shutil.rmtree(workspace.evidence)
    with pytest.raises(UserError, match=r"too few of its teachers can be asked.*one: .*checksum"):
        judge("judged", workspace)


def test_the_command_writes_table_json_csv_and_figure(
    judged: Judgement, whole: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SELKD_WORKSPACE", str(whole.root))
    command.judge("judged", json=True)
    found = json.loads(capsys.readouterr().out)
    assert {"scores", "gains", "costs", "students", "left out"} <= set(found)
    folder = Path(found["folder"])
    assert sorted(path.name for path in folder.iterdir()) == ["agreement.png", "judgement.json", "scores.csv"]
    pd.testing.assert_frame_equal(pd.read_csv(folder / "scores.csv"), judged.scores)
    command.judge("judged")
    told = capsys.readouterr().out
    assert all(score in told for score in judged.scores["score"])
