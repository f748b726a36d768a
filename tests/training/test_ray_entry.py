"""A local cluster ends with all that it started, and a driver's wish reaches the workers."""

import signal
import socket
from pathlib import Path
from typing import NoReturn

import pytest

from selkd.errors import UserError
from selkd.tracking import TrialRecord
from selkd.training import ray_entry
from selkd.training.ending import Moved, Paused, StoppedEarly, obey
from selkd.training.loop import Epoch
from selkd.training.ray_entry import EXPECTED, _progress, started


@pytest.mark.parametrize("end", [StoppedEarly("3. of 4"), Paused("stopped"), Moved("its node goes")])
def test_what_the_driver_hears_of_an_epoch_ends_the_workers_training(tmp_path: Path, end: Exception) -> None:
    """A driver on a node that is about to go, too: its workers end their epoch, and the trial moves."""

    def hear(epoch: Epoch) -> NoReturn:
        raise end

    with _progress(tmp_path, hear):
        TrialRecord(tmp_path).log(1, {"train/loss": 1.0}, 2)
    with pytest.raises(type(end), match=str(end)):
        obey(tmp_path)
    assert type(end) in EXPECTED.values(), "so that Ray Train does not try it again"


@pytest.mark.slow
def test_every_process_of_a_cluster_is_waited_for_also_one_that_is_slow_to_end() -> None:
    """Else it is a zombie, and a warning in the middle of whatever runs when its handle is collected."""
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with started(1, dashboard=True) as ray:
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
        node = ray._private.worker._global_node
        processes = [info.process for infos in node.all_processes.values() for info in infos]
        [dashboard] = node.all_processes["dashboard"]
        dashboard.process.send_signal(signal.SIGSTOP)
    assert len(processes) > 2
    assert [process.args for process in processes if process.returncode is None] == []


def test_a_cluster_that_nobody_serves_is_told_with_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unserved:
        unserved.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unserved.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        monkeypatch.setattr(ray_entry, "PATIENCE", 1.0)
        with (
            pytest.raises(UserError, match=f"RAY_ADDRESS: {address} cannot be reached .*unset RAY_ADDRESS"),
            started(1),
        ):
            pass
