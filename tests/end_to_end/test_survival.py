"""A run that is killed, interrupted or damaged ends bit-identical to an undisturbed one."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selkd.config import RunConfig, Workspace
from selkd.errors import UserError
from selkd.files import checksum, read_json
from selkd.tracking import TrialRecord
from selkd.training.run import train

pytestmark = pytest.mark.slow
EPOCHS = 80  # long enough that a run is caught in the middle on a busy machine, too
LONGER = [f"training.epochs={EPOCHS}"]


@pytest.fixture(scope="module")
def undisturbed(taught: Workspace, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Checksums of the weights of students nobody disturbed, by overrides."""
    return {}


def weights(workspace: Workspace, config: RunConfig) -> str:
    return checksum(workspace.runs / config.key / "student" / "weights.safetensors")


def reference(taught: Workspace, known: dict[str, str], config: RunConfig) -> str:
    if config.key not in known:
        train(config, taught, fresh=True)
        known[config.key] = weights(taught, config)
    return known[config.key]


def reached(workspace: Workspace, config: RunConfig, epochs: int) -> bool:
    index = workspace.runs / config.key / "checkpoints" / "index.json"
    return index.exists() and len(TrialRecord(workspace.runs / config.key).history()) >= epochs


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_run_that_was_ended_goes_on_to_the_same_student(
    how: signal.Signals,
    selkd: Any,
    workspace: Workspace,
    taught: Workspace,
    student_file: Path,
    undisturbed: dict[str, str],
    waiting: Callable[..., Any],
) -> None:
    config = RunConfig.read(student_file, LONGER)
    process = selkd.start("train", student_file, *LONGER)
    waiting(lambda: (workspace.runs / config.key / "checkpoints" / "index.json").exists() or process.poll() is not None)
    os.kill(process.pid, how)
    _, err = process.communicate(timeout=60)
    assert not subprocess.run(["pgrep", "-g", str(process.pid)], capture_output=True, text=True, check=False).stdout
    record = TrialRecord(workspace.runs / config.key)
    assert record.status != "finished"
    if how != signal.SIGKILL:
        assert process.returncode == 130
        assert record.status == "stopped"
        assert "goes on from the last checkpoint" in err
    epochs_before = len(record.history())
    code, _, err = selkd.run("train", student_file, *LONGER)
    assert code == 0, err
    assert 0 < epochs_before < EPOCHS
    assert weights(workspace, config) == reference(taught, undisturbed, config)
    history = TrialRecord(workspace.runs / config.key).history()
    assert list(history.index) == list(range(1, EPOCHS + 1))


def test_a_damaged_last_checkpoint_falls_back_to_the_one_before(
    workspace: Workspace, taught: Workspace, student_file: Path, undisturbed: dict[str, str], caplog: Any
) -> None:
    config = RunConfig.read(student_file, ["training.epochs=6"])
    stop_after(config, workspace, 4)
    folder = workspace.runs / config.key / "checkpoints"
    last = folder / read_json(folder / "index.json")["last"][0]["file"]
    last.write_bytes(last.read_bytes()[:-100])
    train(config, workspace)
    assert "falling back" in caplog.text
    assert weights(workspace, config) == reference(taught, undisturbed, config)


def stop_after(config: RunConfig, workspace: Workspace, epoch: int) -> None:
    def stop(reached: Any) -> None:
        if reached.epoch == epoch + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, workspace, on_epoch=stop)


@pytest.mark.parametrize(
    ("objective", "what"),
    [
        ("{name: cross-entropy}", "term 'truth'"),
        ("{name: kd}", "term '(truth|teacher)'"),
        ("{name: selkd}", "the student's output"),
    ],
)
def test_a_loss_that_is_not_finite_stops_the_run_and_says_what_was_seen(
    workspace: Workspace, student_file: Path, objective: str, what: str
) -> None:
    config = RunConfig.read(student_file, ["training.optimiser.lr=1e30", f"objective={objective}"])
    with pytest.raises(UserError, match=rf"{what} became .* at step \d+ \(learning rate .*, rows \d+"):
        train(config, workspace)
    record = TrialRecord(workspace.runs / config.key)
    assert record.status == "failed"


def test_a_full_disk_is_one_error_and_the_run_goes_on_elsewhere(
    selkd: Any, workspace: Workspace, small_disk: Callable[[int], Path], student_file: Path
) -> None:
    disk = small_disk(150_000)
    (workspace.runs).symlink_to(disk)
    code, _, err = selkd.run("train", student_file)
    assert code == 2
    assert "error cannot write" in err
    assert "Traceback" not in err
    assert not list(disk.glob("*/student"))


def test_a_read_only_workspace_is_one_error(selkd: Any, workspace: Workspace, student_file: Path) -> None:
    workspace.runs.mkdir()
    mount = ["mount", "--bind", "-o", "ro", str(workspace.runs), str(workspace.runs)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let us mount a read-only folder")
    try:
        code, _, err = selkd.run("train", student_file)
    finally:
        subprocess.run(["umount", "-l", str(workspace.runs)], check=True)
    assert code == 2
    assert "Traceback" not in err
    assert str(workspace.runs) in err


def test_two_processes_do_not_train_the_same_student(
    selkd: Any, workspace: Workspace, student_file: Path, waiting: Callable[..., Any]
) -> None:
    longest = ["training.epochs=300"]
    config = RunConfig.read(student_file, longest)
    first = selkd.start("train", student_file, *longest)
    waiting(lambda: (workspace.runs / config.key / "ledger.jsonl").exists() or first.poll() is not None)
    code, _, err = selkd.run("train", student_file, *longest)
    assert code == 2
    assert "another process" in err
    assert first.poll() is None, "it trains on"
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)
    assert first.returncode == 130
