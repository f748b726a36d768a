"""A local cluster ends with all that it started."""

import signal

import pytest

from selkd.training.ray_entry import started


@pytest.mark.slow
def test_every_process_of_a_cluster_is_waited_for_also_one_that_is_slow_to_end() -> None:
    """Else it is a zombie, and a warning in the middle of whatever runs when its handle is collected."""
    with started(1, dashboard=True) as ray:
        node = ray._private.worker._global_node
        processes = [info.process for infos in node.all_processes.values() for info in infos]
        [dashboard] = node.all_processes["dashboard"]
        dashboard.process.send_signal(signal.SIGSTOP)
    assert len(processes) > 2
    assert [process.args for process in processes if process.returncode is None] == []
