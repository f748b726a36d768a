"""Sample policies in training: exact budgets, nothing but training rows, and the same student after a stop."""

import dataclasses
import math
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

from selkd.config import RunConfig, Workspace
from selkd.data import Part, Splits
from selkd.errors import UserError
from selkd.files import read_json
from selkd.selection import SAMPLES
from selkd.training.checkpoints import Checkpoints
from selkd.training.loop import Epoch, Loop
from selkd.training.run import train
from selkd.training.setup import Setup
from selkd.training.workers import Workers

EPOCHS, ROWS, KEEP = 4, 30, 0.7
SETTINGS: dict[str, dict[str, Any]] = {
    "el2n": {"rounds": 2},
    "pruning": {"score": "el2n", "rounds": 1, "alpha": 0.3},
    "confidence-band": {"low": 0.0},
    "rad": {"mistakes": 0.2},
    "kd3": {"cutoff": 0.3},
}
every_policy = pytest.mark.parametrize("policy", list(SAMPLES))
CPU = torch.device("cpu")


def config(samples: Any, mode: str = "closed", objective: Any = "cross-entropy", **training: Any) -> RunConfig:
    return RunConfig.model_validate(
        {
            "data": {"rows_per_category": 15 if mode == "closed" else 3},
            "task": {"categories": ["three", "five"], "mode": mode},
            "teacher": "untrained",
            "student": {"model": "mlp", "hidden": [6]},
            "objective": objective,
            "selection": {"samples": samples},
            "training": {"epochs": EPOCHS, "batch_size": 8, "precision": "float64", "keep": "last", **training},
            "workers": {"device": "cpu"},
        }
    )


def chosen(policy: str, **changes: Any) -> dict[str, Any]:
    return {"policy": policy, "keep": KEEP, **SETTINGS.get(policy, {}), **changes}


def prepared(settings: RunConfig, workspace: Workspace) -> Setup:
    return Setup.of(settings, workspace, Workers(), CPU)


def trained(setup: Setup, checkpoints: Checkpoints | None = None, stop_after: int = 0) -> list[Tensor]:
    """The student's weights, without a look at validation rows."""

    def report(epoch: Epoch) -> None:
        if epoch.epoch == stop_after + 1 and stop_after:
            raise KeyboardInterrupt

    batches, training = setup.batches(), setup.config.training
    student = setup.student()
    loop = Loop(
        model=student, objective=setup.objective(batches.counts), batches=batches,
        validate=lambda _: {"accuracy": 0.0}, score="accuracy", optimiser=training.optimiser,
        schedule=training.schedule, total_steps=setup.total_steps, device=CPU, keys=setup.keys,
    )  # fmt: skip
    loop.fit(checkpoints, report)
    return list(student.state_dict().values())


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(map(torch.equal, one, other))


@pytest.mark.parametrize("mode", ["closed", "open"])
def test_all_rows_is_training_without_a_policy_bit_for_bit(workspace: Workspace, mode: str) -> None:
    plain = prepared(config("all", mode), workspace)
    without = prepared(config("all", mode), workspace)
    counts = without.batches().counts
    without.__dict__["rounds"] = None
    assert torch.equal(without.batches().counts.double(), counts)
    assert same(trained(plain), trained(without))
    assert plain.rounds.used.unique().tolist() == [EPOCHS]


@every_policy
@pytest.mark.parametrize("mode", ["closed", "open"])
def test_every_epoch_spends_exactly_its_budget(workspace: Workspace, policy: str, mode: str) -> None:
    setup = prepared(config(chosen(policy), mode), workspace)
    trained(setup)
    budget = round(KEEP * ROWS)
    assert setup.rounds.by_output.sum(1).tolist() == [budget] * EPOCHS
    assert int(setup.rounds.used.sum()) == budget * EPOCHS == setup.rounds.costs()["cost/row_gradients"]
    by_label = torch.bincount(setup.rounds.evidence.labels.repeat_interleave(setup.rounds.used))
    assert torch.equal(by_label, setup.rounds.by_output.sum(0)[: len(by_label)])


@pytest.mark.parametrize("policy", ["all", "ddk", "teacher-correct"])
def test_every_category_gets_its_rates_rounded_and_every_row_its_turn(workspace: Workspace, policy: str) -> None:
    rounds = prepared(config(chosen(policy, keep=0.6), "open", epochs=60), workspace).rounds
    labels = rounds.evidence.labels
    wanted = rounds.expected()
    for number in range(60):
        found = torch.bincount(labels[rounds.rows(number)], minlength=3)
        assert bool((found - wanted).abs().max() < 1)
        rounds.spent(number, rounds.budget)
    rates = rounds.policy.rates(rounds.evidence, rounds.budget, 0, 0)
    assert not rounds.used[rates == 0].any()
    spread = (60 * rates * (1 - rates % 1)).sqrt()  # at least the deviation of independent draws
    assert bool(((rounds.used - 60 * rates).abs() <= 4 * spread.clamp(min=1)).all())


def test_equal_steps_are_as_many_updates_as_all_rows_take(workspace: Workspace) -> None:
    full = prepared(config("all"), workspace)
    few = prepared(config(chosen("random", keep=0.3, equal="steps")), workspace)
    assert few.total_steps == full.total_steps == EPOCHS * math.ceil(ROWS / 8)
    trained(few)
    assert few.rounds.evidence.rounds == len(few.rounds.by_output) == 8
    fewer = prepared(config(chosen("random", keep=0.3)), workspace)
    assert fewer.total_steps == EPOCHS * math.ceil(0.3 * ROWS / 8)


@every_policy
def test_stopped_and_resumed_it_chooses_and_trains_as_if_undisturbed(workspace: Workspace, policy: str) -> None:
    settings = config(chosen(policy), objective={"name": "kd"})
    whole = prepared(settings, workspace)
    reference = trained(whole)
    for stop_after in (1, 3):
        checkpoints = Checkpoints(workspace.root / f"{policy}-{stop_after}")
        with pytest.raises(KeyboardInterrupt):
            trained(prepared(settings, workspace), checkpoints, stop_after)
        resumed = prepared(settings, workspace)
        assert same(trained(resumed, checkpoints), reference)
        assert torch.equal(resumed.rounds.used, whole.rounds.used)
        assert torch.equal(resumed.rounds.by_output, whole.rounds.by_output)
        assert resumed.rounds.scored == whole.rounds.scored


class Forbidden:
    """Rows that nobody may look at."""

    shape = (1, 8, 8)
    streamed = False

    def __len__(self) -> int:
        return 10

    @property
    def labels(self) -> Tensor:
        raise AssertionError("labels were read")

    def pixels(self, index: Tensor) -> Tensor:
        raise AssertionError("pixels were read")

    def to(self, device: Any) -> "Forbidden":
        return self


@every_policy
def test_validation_and_test_rows_are_never_read(workspace: Workspace, policy: str) -> None:
    setup = prepared(config(chosen(policy), objective={"name": "kd"}), workspace)
    hidden = Part(Forbidden(), torch.arange(10))
    blind = dataclasses.replace(setup, splits=Splits(setup.splits.train, hidden, hidden))
    assert same(trained(blind), trained(setup))


def test_no_weight_on_the_teacher_is_cross_entropy_on_the_same_rows(workspace: Workspace) -> None:
    samples = chosen("pruning", score="margin", rounds=3, alpha=0.0)
    kd, plain = (prepared(config(samples, objective=o), workspace) for o in ({"name": "kd"}, "cross-entropy"))
    assert same(trained(kd), trained(plain))
    assert torch.equal(kd.rounds.used, plain.rounds.used)


def test_joint_weights_are_those_of_the_objective(workspace: Workspace) -> None:
    by_policy = prepared(config(chosen("pruning", score="random", rounds=3, alpha=0.25), objective="kd"), workspace)
    weighed = {"name": "kd", "gamma": 0.75, "alpha": 0.25}
    by_objective = prepared(config(chosen("random"), objective=weighed), workspace)
    for one, other in zip(trained(by_policy), trained(by_objective), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


def test_scores_of_the_student_choose_other_rows_than_chance(workspace: Workspace) -> None:
    """After its first rounds EL2N uses a fixed subset, and counts the forward passes that found it."""
    setup = prepared(config(chosen("el2n", keep=0.5)), workspace)
    trained(setup)
    rounds = setup.rounds
    assert rounds.scored == 2 * ROWS
    assert torch.equal(rounds.rows(2).sort().values, rounds.rows(3).sort().values)
    scores = rounds.policy.state["sum"]
    assert float(scores[rounds.rows(3)].min()) >= float(scores.median())


def test_nothing_is_scored_after_the_last_epoch(workspace: Workspace) -> None:
    setup = prepared(config(chosen("rad")), workspace)
    trained(setup)
    assert setup.rounds.costs()["cost/rows_scored"] == (EPOCHS - 1) * ROWS


def test_few_rows_repeat_so_that_the_budget_stays(workspace: Workspace) -> None:
    setup = prepared(config({"policy": "teacher-correct"}), workspace)
    trained(setup)
    correct = setup.rounds.evidence.teacher.argmax(1) == setup.rounds.evidence.labels
    assert 0 < int(correct.sum()) < ROWS
    assert not setup.rounds.used[~correct].any()
    assert int(setup.rounds.used[correct].max() - setup.rounds.used[correct].min()) <= EPOCHS
    assert int(setup.rounds.used.sum()) == ROWS * EPOCHS


def test_objectives_are_told_the_counts_that_the_first_epoch_expects(workspace: Workspace) -> None:
    setup = prepared(config(chosen("random", keep=0.5), objective={"name": "cross-entropy"}), workspace)
    counts = setup.batches().counts
    assert torch.equal(counts.long(), torch.bincount(setup.rounds.evidence.labels[setup.rounds.rows(0)]))


@pytest.mark.parametrize(
    ("samples", "told"),
    [
        ({"policy": "random", "keep": 0.2}, "more than the task's 6 training rows that an epoch uses with selection"),
        ({"policy": "el2n", "rounds": 4}, "rounds: 4 leaves none of the run's 4 epochs"),
    ],
)
def test_what_cannot_train_is_refused_before_a_record_begins(workspace: Workspace, samples: Any, told: str) -> None:
    settings = config(samples)
    with pytest.raises(UserError, match=told):
        train(settings, workspace)
    assert not (workspace.runs / settings.key).exists()


def test_the_record_says_which_rows_were_used(workspace: Workspace) -> None:
    found = train(config(chosen("ddk"), "open"), workspace)
    used = pd.read_parquet(found.folder / "rows-used.parquet")
    assert list(used.columns) == ["row", "label", "used"]
    assert used["row"].is_unique
    assert set(used["label"]) == {"three", "five", "not selected"}
    report = read_json(found.folder / "selection.json")["samples"]
    assert report["settings"]["policy"] == "ddk"
    assert used["used"].sum() == report["row_gradients"] == round(KEEP * ROWS) * EPOCHS
    assert found.metrics["cost/row_gradients"] == report["row_gradients"]
    assert found.metrics["cost/rows_scored"] == report["rows_scored"] > 0
    by_label = [int(used.loc[used["label"] == name, "used"].sum()) for name in ("three", "five", "not selected")]
    assert by_label == torch.tensor(report["rows_per_output_and_epoch"]).sum(0).tolist()
