"""The parts of the loop against torch's own: schedules, batch statistics, dropout, checkpoints."""

import errno
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.ops import StochasticDepth

from selkd.errors import UserError
from selkd.training.batchnorm import SharedBatchNorm
from selkd.training.checkpoints import Checkpoints
from selkd.training.randomness import RowKeys, key_randomness
from selkd.training.schedules import Schedule
from selkd.training.workers import Workers

TOTAL = 240


def rates(make: Any) -> list[float]:
    parameter = nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=1.0)
    schedule = make(optimiser)
    found = []
    for _ in range(TOTAL):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return found


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Schedule(name="cosine"), lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, TOTAL)),
        (Schedule(name="step"), lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [150, 180, 210])),
        (Schedule(name="one-cycle"), lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 1.0, TOTAL)),
        (Schedule(name="constant"), lambda o: torch.optim.lr_scheduler.ConstantLR(o, 1.0)),
    ],
)
def test_schedules_are_torchs(ours: Schedule, theirs: Any) -> None:
    assert [ours.rate(step, TOTAL) for step in range(TOTAL)] == pytest.approx(rates(theirs), abs=1e-12)


def test_warm_up_rises_to_the_base_rate_and_the_schedule_follows() -> None:
    schedule = Schedule(name="cosine", warmup=0.1)
    found = [schedule.rate(step, 100) for step in range(100)]
    assert found[:11] == sorted(found[:11])
    assert found[0] > 0
    assert found[10] == 1
    assert found[10:] == sorted(found[10:], reverse=True)


@pytest.mark.parametrize("name", ["constant", "step", "cosine", "one-cycle"])
@pytest.mark.parametrize("total", [1, 2, 3])
def test_the_shortest_runs_have_a_rate(name: Any, total: int) -> None:
    for warmup in (0.0, 0.5):
        assert all(0 < Schedule(name=name, warmup=warmup).rate(s, total) <= 1 for s in range(total))


@pytest.mark.parametrize("momentum", [0.1, None])
def test_shared_batch_norm_of_one_process_is_torchs(momentum: float | None) -> None:
    torch.manual_seed(0)
    images = torch.randn(6, 3, 4, 4, dtype=torch.float64) * 3 + 1
    plain = nn.BatchNorm2d(3, momentum=momentum).double()
    nn.init.normal_(plain.weight)
    other = nn.BatchNorm2d(3, momentum=momentum).double()
    other.load_state_dict(plain.state_dict())
    shared = SharedBatchNorm(other, Workers())
    for _ in range(3):
        a, b = images.clone().requires_grad_(), images.clone().requires_grad_()
        (plain(a) ** 3).sum().backward()
        (shared(b) ** 3).sum().backward()
        torch.testing.assert_close(a.grad, b.grad)
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(shared.state_dict()[key], value)
    torch.testing.assert_close(shared.eval()(images), plain.eval()(images))
    torch.testing.assert_close(shared.weight.grad, plain.weight.grad)


def test_dropout_of_a_row_depends_on_its_key_alone() -> None:
    keys = RowKeys(seed=3, step=5)
    model = key_randomness(nn.Sequential(nn.Dropout(0.4), nn.Dropout2d(0.4), StochasticDepth(0.4, "row")), keys)
    images, ids = torch.ones(64, 8, 4, 4), torch.arange(100, 164)
    keys.ids = ids
    whole = model(images)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))[:20]
    keys.ids = ids[order]
    torch.testing.assert_close(model(images[order]), whole[order])
    keys.step = 6
    assert not torch.equal(model(images[order]), whole[order])
    assert torch.equal(model.eval()(images), images)


def test_dropout_keeps_the_mean_and_the_share() -> None:
    keys = RowKeys(ids=torch.arange(200))
    found = key_randomness(nn.Sequential(nn.Dropout(0.3)), keys)(torch.ones(200, 500))
    assert (found == 0).double().mean().item() == pytest.approx(0.3, abs=0.01)
    assert found.mean().item() == pytest.approx(1, abs=0.01)


def test_random_layers_that_cannot_be_keyed_are_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"inner\.odd \(RReLU\)"):
        key_randomness(nn.ModuleDict({"inner": nn.ModuleDict({"odd": nn.RReLU()})}), RowKeys())


STATE = {
    "trained": {"w": torch.arange(3.0), "n": torch.tensor(4)},
    "optimiser": {"state": {0: {"step": torch.tensor(2.0)}}, "param_groups": [{"betas": [0.9, 0.999], "x": None}]},
    "step": 7,
    "best": -1.5,
}


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b) and a.dtype == b.dtype
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(v, b[k]) for k, v in a.items())
    return a == b


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.last() is None
    checkpoints.save(STATE, 7, best=True)
    assert same(checkpoints.last(), STATE)
    assert same(checkpoints.best(), STATE)


def test_the_last_two_and_the_best_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in range(1, 6):
        checkpoints.save({"step": step}, step, best=step == 2)
    assert sorted(p.name for p in tmp_path.glob("step-*")) == [f"step-{n:09d}.safetensors" for n in (2, 4, 5)]
    assert checkpoints.last() == {"step": 5}
    assert checkpoints.best() == {"step": 2}


@pytest.mark.parametrize("damage", ["cut", "flip", "missing"])
def test_damage_falls_back_to_the_checkpoint_before(tmp_path: Path, damage: str, caplog: Any) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save({"step": step, "w": torch.ones(100)}, step, best=False)
    path = tmp_path / "step-000000002.safetensors"
    content = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(content[:-1])
    elif damage == "flip":
        content[-1] ^= 1
        path.write_bytes(content)
    else:
        path.unlink()
    found = checkpoints.last()
    assert found is not None
    assert found["step"] == 1
    assert "falling back" in caplog.text


def test_a_broken_index_starts_again_with_a_warning(tmp_path: Path, caplog: Any) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save({"step": 1}, 1, best=False)
    checkpoints.index.write_text("{")
    assert checkpoints.last() is None
    assert "not used" in caplog.text


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save({"step": 1}, 1, best=False)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="cannot write"):
        checkpoints.save({"step": 2}, 2, best=False)
    monkeypatch.undo()
    assert checkpoints.last() == {"step": 1}
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    assert not list(tmp_path.glob(".step*"))
