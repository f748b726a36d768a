"""The ratios of an epoch as they are logged and kept, against a plain count of the rows."""

import logging

import pytest
import torch
from torch.nn import functional as F

from selkd.data.faults import KINDS
from selkd.training.ratios import BINS, GAPS, Ratios
from selkd.training.workers import Workers
from selkd.weighting import Moment

B, OUTPUTS = 50, 3


def moment(seed: int) -> Moment:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (2 * torch.randn(B, OUTPUTS, generator=generator, dtype=torch.float64) for _ in range(2))
    targets = F.one_hot(torch.arange(B) % OUTPUTS, OUTPUTS).double()
    return Moment(student, teacher, targets, torch.arange(B), seed, 0.0)


def ratio(seed: int) -> torch.Tensor:
    return torch.rand(B, generator=torch.Generator().manual_seed(seed + 100), dtype=torch.float64)


def test_means_are_those_of_the_rows_by_teacher_and_gap() -> None:
    ratios, seeds = Ratios(), (0, 1)
    for seed in seeds:
        ratios.add(moment(seed), ratio(seed), torch.tensor(5.0 + seed))
    found = ratios.close(Workers(), learned=True)
    every = torch.cat([ratio(seed) for seed in seeds])
    right = torch.cat([moment(s).teacher.argmax(1) == moment(s).targets.argmax(1) for s in seeds])
    gap = torch.cat([(moment(s).teacher.softmax(1) - moment(s).student.softmax(1)).abs().sum(1) / 2 for s in seeds])
    assert found["train/loss"] == pytest.approx(11 / (2 * B))
    assert found["ratio/mean"] == pytest.approx(float(every.mean()))
    assert (found["ratio/min"], found["ratio/max"]) == (float(every.min()), float(every.max()))
    assert found["ratio/right"] == pytest.approx(float(every[right].mean()))
    assert found["ratio/wrong/small-gap"] == pytest.approx(float(every[~right & (gap < 0.4)].mean()))
    assert found["ratio/wrong/large-gap"] == pytest.approx(float(every[~right & (gap >= 0.4)].mean()))


def test_the_table_counts_every_row_once_in_its_bins() -> None:
    ratios = Ratios()
    for epoch in range(3):
        ratios.add(moment(epoch), ratio(epoch), torch.zeros(()))
        ratios.close(Workers(), learned=True)
    frame = ratios.frame()
    assert [int(frame.loc[frame["epoch"] == epoch, "rows"].sum()) for epoch in (1, 2, 3)] == [B] * 3
    assert frame["rows"].to_numpy().min() > 0
    low = frame.query("epoch == 2 and ratio < 0.5")["rows"]
    assert sum(low) == int((ratio(1) < 0.5).sum())
    assert ratios.counts.shape == (3, 1, 2, GAPS, BINS)
    assert "fault" not in frame


def test_no_rows_of_a_kind_leave_no_metric() -> None:
    ratios, seen = Ratios(), moment(0)
    ratios.add(Moment(seen.student, seen.student, seen.student.softmax(1), seen.ids, 0, 0.0), ratio(0), torch.ones(()))
    found = ratios.close(Workers(), learned=True)
    assert "ratio/right" in found
    assert not {"ratio/wrong", "ratio/right/large-gap"} & set(found)


def test_rows_that_were_spoiled_on_purpose_are_told_apart() -> None:
    """A row with two faults counts as one of each, and stands once in the table."""
    kinds = torch.arange(B) % 8  # every combination: 1 for the label, 2 for the image, 4 for the teacher
    ratios, own = Ratios(kinds), ratio(0)
    ratios.add(moment(0), own, torch.zeros(()))
    found, frame = ratios.close(Workers(), learned=True), ratios.frame()
    assert found["ratio/sound"] == pytest.approx(float(own[kinds == 0].mean()))
    for bit, kind in ((1, "labels"), (2, "images"), (4, "teacher")):
        assert found[f"ratio/faulty/{kind}"] == pytest.approx(float(own[(kinds & bit).bool()].mean()))
    rows = {fault: int(mine["rows"].to_numpy().sum()) for fault, mine in frame.groupby("fault")}
    names = ["none", "labels", "images", "labels+images", "teacher", "labels+teacher", "images+teacher"]
    assert rows == {name: int((kinds == k).sum()) for k, name in enumerate([*names, "labels+images+teacher"])}


def test_what_is_known_without_faults_is_the_same_with_them() -> None:
    plain, told = Ratios(), Ratios(torch.arange(B) % 8)
    metrics = []
    for one in (plain, told):
        one.add(moment(1), ratio(1), torch.zeros(()))
        metrics.append(one.close(Workers(), learned=True))
    assert metrics[0] == pytest.approx({name: metrics[1][name] for name in metrics[0]})
    assert set(metrics[1]) - set(metrics[0]) == {"ratio/sound", *(f"ratio/faulty/{k}" for k in KINDS)}
    assert torch.equal(plain.counts, told.counts.sum(1, keepdim=True))


@pytest.mark.parametrize(("value", "learned", "warned"), [(0.999, True, 1), (0.999, False, 0), (0.9, True, 0)])
def test_a_saturated_network_is_told_of_once(
    value: float, learned: bool, warned: int, caplog: pytest.LogCaptureFixture
) -> None:
    ratios = Ratios()
    with caplog.at_level(logging.WARNING):
        for epoch in range(2):
            ratios.add(moment(epoch), torch.full((B,), value).double(), torch.zeros(()))
            ratios.close(Workers(), learned=learned)
    assert len(caplog.records) == warned


@pytest.mark.parametrize(
    ("bounds", "value", "told"),
    [
        ((0.0, 1.0), 0.009, "below 0.01 or above 0.99, where the network hardly learns. Lower weighting.lr, or set "
                            "weighting.bounded."),
        ((0.01, 0.99), 0.01, "below 0.0198 or above 0.9802, where the network hardly learns. Lower weighting.lr."),
        ((0.01, 0.99), 0.99, "below 0.0198 or above 0.9802, where the network hardly learns. Lower weighting.lr."),
        ((0.01, 0.99), 0.02, None),
    ],
)  # fmt: skip
def test_ratios_that_stick_at_the_bounds_in_force_are_saturated(
    bounds: tuple[float, float], value: float, told: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    ratios = Ratios(bounds=bounds)
    with caplog.at_level(logging.WARNING):
        ratios.add(moment(0), torch.full((B,), value).double(), torch.zeros(()))
        ratios.close(Workers(), learned=True)
    assert [record.getMessage().partition("epoch are ")[2] for record in caplog.records] == ([told] if told else [])
