"""A minute of random faults: the study ends as one that nobody disturbed."""

from pathlib import Path

import pytest

from benchmarks.chaos import chaos

pytestmark = pytest.mark.slow


def test_a_minute_of_random_kills_loses_nothing_and_doubles_nothing(tmp_path: Path):
    report = chaos(tmp_path, seconds=60, candidates=4, seed=20, pause=(2, 6))
    assert sum(report.kills.values()) >= 2, report
    assert report.trials >= 6
    assert (report.lost, report.doubled, report.different, report.left_running) == (0, 0, 0, 0), report
