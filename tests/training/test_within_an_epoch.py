"""A run that leaves in the middle of an epoch goes on there, and ends as one that nobody disturbed."""

import contextlib
import os
import signal
from collections.abc import Mapping
from functools import partial
from typing import Any

import pandas as pd
import pytest

from selkd.config import RunConfig, Workspace
from selkd.errors import UserError
from selkd.files import checksum, read_json
from selkd.tracking import TrialRecord
from selkd.training.checkpoints import Checkpoints
from selkd.training.ending import Moved, Paused
from selkd.training.run import Recording, Trained
from selkd.training.run import train as recorded

EPOCHS, STEPS, ACCUMULATE = 3, 8, 2
TGEO = {"policy": "tgeo", "warmup": 0, "every": 2}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {"objective": "selkd"},
    "augmented": {"objective": "kd", "data": {"augment": {"crop": 1, "mixup": 0.4}}, "training": {"teacher": "online"}},
    "chosen rows": {"objective": "kd", "selection": {"samples": {"policy": "el2n", "keep": 0.7, "rounds": 2}}},
    "learned weights": {"objective": "kd", "weighting": TGEO, "data": {"outer": 0.2}, "training": {"accumulate": 1}},
    "half precision": {"objective": "selkd", "training": {"precision": "bf16"}},
    "other categories": {
        "objective": "transport",
        "training": {"precision": "bf16"},
        "teacher": None,
        "selection": {"teachers": {"policy": "leep", "rows": 5}},
    },
}


train = partial(recorded, recording=Recording(deliver=False, figures=False))


def config(kind: dict[str, Any]) -> RunConfig:
    training = {"epochs": EPOCHS, "accumulate": ACCUMULATE, "keep": "last", "clip": 1.0, **kind.get("training", {})}
    rows = 57 if kind.get("selection", {}).get("samples") else 40
    return RunConfig.of({
        "task": {"categories": ["three", "five"], "mode": "closed"}, "teacher": "untrained",
        "student": {"model": "cnn", "width": 4}, "workers": {"device": "cpu"},
        **kind, "data": {"rows_per_category": rows, **kind.get("data", {})},
        "training": {"batch_size": 10, **training},
    })  # fmt: skip


class Clock:
    """Counts the moments between two updates, ends of epochs among them, and ends the run at some of them."""

    def __init__(self, ends: Mapping[int, Exception | signal.Signals]) -> None:
        self.ends, self.moments = ends, 0

    def __call__(self) -> None:
        self.moments += 1
        match self.ends.get(self.moments):
            case signal.Signals() as number:
                os.kill(os.getpid(), number)
            case Exception() as end:
                raise end


def history(workspace: Workspace, key: str) -> pd.DataFrame:
    return TrialRecord(workspace.runs / key).history().drop(columns="train/rows_per_second")


@pytest.fixture
def undisturbed(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The same data and teacher, and runs of its own."""
    root = tmp_path_factory.mktemp("undisturbed")
    for name in ("data", "teachers", "evidence"):
        (root / name).symlink_to(workspace.root / name)
    return Workspace(root)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_it_ends_as_one_that_nobody_disturbed(kind: dict[str, Any], workspace: Workspace, undisturbed: Workspace):
    settings, calm = config(kind), Clock({})
    one = train(settings, undisturbed, between=calm)
    assert calm.moments >= EPOCHS * 2

    ends = {1: Moved("now"), 2: Paused("later"), 5: Moved("now"), calm.moments: Moved("in the last epoch")}
    clock = Clock(ends)
    for end in ends.values():
        with pytest.raises(type(end)):
            train(settings, workspace, between=clock)
        assert TrialRecord(workspace.runs / settings.key).status == "stopped"
    other = train(settings, workspace, between=clock)
    assert clock.moments == calm.moments, "no update is made twice"
    assert weights(one) == weights(other)
    pd.testing.assert_frame_equal(history(undisturbed, one.key), history(workspace, other.key), check_exact=True)
    assert {k: v for k, v in one.metrics.items() if "latency" not in k} == {
        k: v for k, v in other.metrics.items() if "latency" not in k
    }


def test_a_signal_that_announces_the_end_is_heard_between_two_updates(workspace: Workspace, undisturbed: Workspace):
    settings, end = config(KINDS["plain"]), Clock({2: signal.SIGTERM})
    with pytest.raises(Paused, match="SIGTERM"):
        train(settings, workspace, between=end)
    assert Checkpoints(workspace.runs / settings.key / "checkpoints").reached == 3 * ACCUMULATE
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert weights(train(settings, workspace)) == weights(train(settings, undisturbed))


def test_ctrl_c_ends_a_run_also_where_something_swallowed_it(workspace: Workspace, undisturbed: Workspace):
    settings, end = config(KINDS["plain"]), Clock({2: signal.SIGINT})
    before = signal.getsignal(signal.SIGINT)  # ignored, where a shell started all this in the background

    def swallow() -> None:
        with contextlib.suppress(BaseException):
            end()

    with pytest.raises(KeyboardInterrupt):
        train(settings, workspace, between=swallow)
    assert end.moments == 2
    assert signal.getsignal(signal.SIGINT) is before
    assert weights(train(settings, workspace)) == weights(train(settings, undisturbed))


def test_a_damaged_checkpoint_within_an_epoch_falls_back_to_the_one_before(
    workspace: Workspace, undisturbed: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    settings = config(KINDS["plain"])
    with pytest.raises(Moved):
        train(settings, workspace, between=Clock({6: Moved("now")}))
    folder = workspace.runs / settings.key / "checkpoints"
    newest, before = read_json(folder / "index.json")["last"]
    assert (newest["step"], before["step"]) == (STEPS + 2 * ACCUMULATE, STEPS)
    (folder / newest["file"]).write_bytes(b"damaged")
    assert weights(train(settings, workspace)) == weights(train(settings, undisturbed))
    assert "falling back" in caplog.text


def test_parameters_that_are_not_finite_are_not_kept(workspace: Workspace) -> None:
    settings = config({"objective": "cross-entropy", "training": {"optimiser": {"lr": 1e30}, "clip": None}})
    with pytest.raises(UserError, match="became"):
        train(settings, workspace, between=Clock({2: Moved("now")}))
    assert not list((workspace.runs / settings.key).glob("checkpoints/*.safetensors"))


def weights(trained: Trained) -> str:
    return checksum(trained.student / "weights.safetensors")
