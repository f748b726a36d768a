"""Faults on purpose in a run: who sees them, who does not, and that no worker or way of asking changes them."""

from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

from selkd.config import RunConfig, Workspace
from selkd.data.faults import KINDS, LOGIT_STEP, faulty
from selkd.training.run import Recording, fit, train
from selkd.training.setup import Setup
from selkd.training.workers import Workers

CPU, SEED = torch.device("cpu"), 4
FAULTS = {"labels": 0.3, "images": 0.2, "teacher": 0.3}
TASK = {"categories": ["three", "five", "eight"]}


def config(faults: dict[str, float] | None, task: Any = TASK, crop: int = 1, **training: Any) -> RunConfig:
    data: dict[str, Any] = {"rows_per_category": 12, "outer": 0.25, "seed": SEED, "augment": {"crop": crop}}
    views = {"views": 2} if training.get("teacher") != "online" else {}
    return RunConfig.model_validate(
        {
            "data": data if faults is None else data | {"faults": faults},
            "task": task,
            "teacher": "untrained",
            "student": {"model": "mlp", "hidden": [6]},
            "objective": "kd",
            "weighting": {"policy": "tgeo", "dim": 4, "outer_rows": 3},
            "training": {"epochs": 2, "batch_size": 6, "precision": "float64", "keep": "last", **views, **training},
            "workers": {"device": "cpu"},
        }
    )


def setup(workspace: Workspace, faults: dict[str, float] | None, workers: Workers | None = None, **more: Any) -> Setup:
    return Setup.of(config(faults, **more), workspace, workers or Workers(), CPU)


def student(workspace: Workspace, settings: RunConfig) -> list[Tensor]:
    return list(fit(settings, workspace, Workers(), lambda _: None, keep=False)[1].state_dict().values())


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(a.equal(b) for a, b in zip(one, other, strict=True))


def test_faults_of_zero_give_the_student_without_them_bit_for_bit(workspace: Workspace) -> None:
    plain = config(None)
    none = config(dict.fromkeys(FAULTS, 0.0))
    assert none.key == plain.key
    assert same(student(workspace, none), student(workspace, plain))


@pytest.mark.parametrize("kind", FAULTS)
def test_every_fault_changes_the_student(workspace: Workspace, kind: str) -> None:
    assert not same(student(workspace, config({kind: 0.3})), student(workspace, config(None)))


def rows_by_epoch(ratios: pd.DataFrame) -> list[int]:
    return [int(mine["rows"].to_numpy().sum()) for _, mine in ratios.groupby("epoch")]


@pytest.mark.parametrize("faults", [{"labels": 0.3}, {"images": 0.2}, FAULTS])
def test_the_record_tells_the_ratios_of_faulty_rows_from_those_of_sound_ones(
    workspace: Workspace, faults: dict[str, float]
) -> None:
    found = train(config(faults, keep="last"), workspace, recording=Recording(deliver=False, figures=False))
    ratios, made = pd.read_parquet(found.folder / "ratios.parquet"), setup(workspace, faults)
    ids = made.rounds.evidence.ids
    last = found.history.iloc[-1]
    for kind in KINDS:
        wrong = int(faulty(ids, kind, faults.get(kind, 0.0), SEED).sum())
        having = ratios["fault"].str.split("+").map(lambda names, kind=kind: kind in names)
        assert rows_by_epoch(ratios.loc[having]) == [wrong] * 2 * bool(wrong)
        assert (f"ratio/faulty/{kind}" in last) == bool(wrong)
    assert 0 < last["ratio/sound"] < 1
    assert rows_by_epoch(ratios) == [len(ids)] * 2


def test_the_split_and_what_is_judged_stay_sound(workspace: Workspace) -> None:
    sound, found = setup(workspace, None), setup(workspace, FAULTS)
    for part in ("train", "validation", "test", "outer"):
        assert torch.equal(getattr(found.splits, part).ids, getattr(sound.splits, part).ids)
    for part in ("validation", "test", "outer"):
        one, other = getattr(found.splits, part), getattr(sound.splits, part)
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.pixels(torch.arange(len(one))), other.pixels(torch.arange(len(other))))
        assert found.evidence(part).fingerprint == sound.evidence(part).fingerprint


def test_a_task_has_the_rows_that_are_labelled_so(workspace: Workspace) -> None:
    found, sound = setup(workspace, FAULTS), setup(workspace, None)
    batches = found.batches()
    assert int(batches.counts.sum()) == found.rows == len(batches.positions)
    ids = batches.part.ids[batches.positions]
    true = sound.dataset.train.labels[ids]
    assert torch.equal(found.task.ids[batches.labels] != true, faulty(ids, "labels", FAULTS["labels"], SEED))


@pytest.mark.parametrize("teacher", ["stored", "online"])
@pytest.mark.parametrize("kind", ["images", "teacher"])
def test_policies_and_training_hear_the_same_teacher(workspace: Workspace, kind: str, teacher: str) -> None:
    """What training hears of a row, at its plain view, is what policies and class means read."""
    found = setup(workspace, {kind: 0.4}, teacher=teacher, crop=0)
    read = torch.from_numpy(found.evidence("train")["logits"][0].copy())
    position = {row: place for place, row in enumerate(found.splits.train.ids.tolist())}
    for batch in found.batches().epoch(0, 0, 2):
        assert batch.teacher is not None
        told = read[[position[row] for row in batch.ids.tolist()]]
        assert torch.allclose(batch.teacher.float(), told, atol=1e-5)
        if kind == "teacher":
            wrong = faulty(batch.ids, "teacher", 0.4, SEED)
            top = batch.teacher.double().amax(1)
            assert torch.equal(top == LOGIT_STEP * (batch.teacher.shape[1] - 1), wrong)
            assert torch.equal(batch.teacher.argmin(1)[wrong], found.dataset.train.labels[batch.ids[wrong]])


def test_a_teacher_is_wrong_about_a_row_in_every_view(workspace: Workspace) -> None:
    found = setup(workspace, {"teacher": 0.4})
    replayed = found.replayed
    assert replayed is not None
    logits = torch.tensor(replayed["logits"][:])
    wrong = faulty(found.splits.train.ids, "teacher", 0.4, SEED)
    assert logits.shape[0] == 2
    assert torch.equal(logits[0, wrong], logits[1, wrong])
    assert not torch.equal(logits[0, ~wrong], logits[1, ~wrong])


def test_evidence_is_shared_where_the_teacher_sees_and_says_the_same(workspace: Workspace) -> None:
    def name(faults: dict[str, float] | None) -> str:
        return setup(workspace, faults).evidence("train").fingerprint

    assert name({"labels": 0.5}) == name(None)
    assert len({name(None), name({"images": 0.5}), name({"teacher": 0.5}), name({"teacher": 0.4})}) == 4


@pytest.mark.parametrize("teacher", ["stored", "online"])
def test_shares_of_several_workers_join_to_the_batch_of_one(workspace: Workspace, teacher: str) -> None:
    whole = setup(workspace, FAULTS, teacher=teacher).batches()
    parts = [setup(workspace, FAULTS, Workers(rank, 3), teacher=teacher).batches() for rank in range(3)]
    steps = len(whole)
    for batch, *own in zip(*(one.epoch(0, 0, steps) for one in (whole, *parts)), strict=True):
        for name in ("ids", "images", "targets", "teacher"):
            joined = torch.cat([getattr(share, name) for share in own])
            assert torch.allclose(joined, getattr(batch, name), rtol=0, atol=1e-12), name
        assert torch.equal(torch.cat([share.targets for share in own]), batch.targets)


def test_an_open_task_and_mixed_images_train_with_faults(workspace: Workspace) -> None:
    settings = config(FAULTS, {"categories": ["three", "five"], "mode": "open"}, teacher="online")
    mixed = settings.model_dump(mode="json")
    mixed["data"]["augment"]["mixup"] = 0.5
    weights = student(workspace, RunConfig.model_validate(mixed))
    assert all(value.isfinite().all() for value in weights)
