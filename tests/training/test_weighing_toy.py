"""What a ratio network learns where it is known whom to believe: a teacher that errs, or labels that do."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from selkd.config import RunConfig, Workspace
from selkd.data import draws
from selkd.training.batches import Stored
from selkd.training.loop import Epoch, Loop
from selkd.training.setup import Setup
from selkd.training.workers import Workers

SHARE, MARGIN, CPU = 0.3, 0.1, torch.device("cpu")


def config(seed: int) -> RunConfig:
    return RunConfig.model_validate(
        {
            "seed": seed,
            "data": {"rows_per_category": 60, "outer": 0.25},
            "teacher": "untrained",
            "student": {"model": "mlp", "hidden": [32]},
            "objective": {"name": "kd", "temperature": 2.0},
            "weighting": {"policy": "tgeo", "dim": 32, "lr": 0.01, "outer_rows": 50},
            "training": {"epochs": 15, "batch_size": 50, "keep": "last", "optimiser": {"lr": 0.1}},
            "workers": {"device": "cpu"},
        }
    )


def last_epoch(workspace: Workspace, seed: int, *, teacher_errs: bool) -> dict[str, float]:
    """Metrics of the last epoch where teacher and labels disagree on 30 % of the rows, and one of them is wrong."""
    setup = Setup.of(config(seed), workspace, Workers(), CPU)
    truth = setup.splits.train.labels
    ids = setup.splits.train.ids
    changed = draws.uniform(seed, 0, ids, "corrupted").flatten() < SHARE
    wrong = torch.where(changed, (truth + draws.integers(seed, 0, ids, "by", high=9).flatten() + 1) % 10, truth)
    answers = 6 * F.one_hot(wrong if teacher_errs else truth, 10).float()
    labels = truth if teacher_errs else wrong
    setup.rounds.evidence = replace(
        setup.rounds.evidence, labels=labels, ask_teacher=answers.double().log_softmax(1).clone
    )
    return _fitted(setup, answers, labels)


def _fitted(setup: Setup, answers: Tensor, labels: Tensor) -> dict[str, float]:
    batches, heard = setup.batches(), list[Epoch]()
    batches.stored, batches.labels = Stored(answers[None].numpy(), 0), labels
    loop = Loop(
        model=setup.student(), objective=setup.objective(batches.counts), batches=batches,
        validate=lambda _: {"accuracy": 0.0}, score="accuracy", optimiser=setup.config.training.optimiser,
        schedule=setup.config.training.schedule, total_steps=setup.total_steps, device=CPU, keys=setup.keys,
        weighing=setup.weighing, outer=setup.outer_batches(),
    )  # fmt: skip
    loop.fit(None, heard.append)
    return heard[-1].metrics


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_rows_that_the_teacher_gets_wrong_end_with_less_of_it(workspace: Workspace, seed: int) -> None:
    found = last_epoch(workspace, seed, teacher_errs=True)
    assert found["ratio/wrong"] < found["ratio/right"] - MARGIN


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_rows_that_the_labels_get_wrong_end_with_more_of_a_perfect_teacher(workspace: Workspace, seed: int) -> None:
    found = last_epoch(workspace, seed, teacher_errs=False)
    assert found["ratio/wrong"] > found["ratio/right"] + MARGIN
