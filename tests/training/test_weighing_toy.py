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

SHARE, MARGIN, LOW, SEEDS, CPU = 0.3, 0.1, 0.3, (0, 1, 2), torch.device("cpu")


def config(seed: int) -> RunConfig:
    return RunConfig.model_validate(
        {
            "seed": seed,
            "data": {"rows_per_category": 60, "outer": 0.25},
            "teacher": "untrained",
            "student": {"model": "mlp", "hidden": [32]},
            "objective": {"name": "kd", "temperature": 2.0},
            "weighting": {"policy": "tgeo", "features": "summary", "dim": 32, "lr": 0.005, "outer_rows": 50},
            "training": {"epochs": 20, "batch_size": 25, "keep": "last", "optimiser": {"lr": 0.05}},
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
def test_rows_that_the_teacher_gets_wrong_end_with_less_of_it(workspace: Workspace) -> None:
    found = [last_epoch(workspace, seed, teacher_errs=True) for seed in SEEDS]
    gaps = [one["ratio/right"] - one["ratio/wrong"] for one in found]
    assert min(gaps) > 0
    assert sum(gaps) / len(gaps) > MARGIN
    assert max(one["ratio/wrong"] for one in found) < LOW


@pytest.mark.slow
def test_where_labels_err_the_teacher_is_believed_about_the_same_rows(workspace: Workspace) -> None:
    """Teacher and label disagree as above; clean outer rows tell who is right."""
    assert min(last_epoch(workspace, seed, teacher_errs=False)["ratio/wrong"] for seed in SEEDS) > 1 - LOW
