"""A study as a Ray job, on a head of one's own: what may happen to a job does not happen to its study."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from selkd.cluster import head
from selkd.cluster.states import STOPPED
from selkd.cluster.submission import submit
from selkd.config import Workspace
from selkd.sweeps.run import sweep
from selkd.sweeps.studies import Study
from selkd.tracking import StudyRecord
from tests.end_to_end.outcomes import ends, told

pytestmark = pytest.mark.slow

PACKAGE = Path(__file__).parents[2] / "platform"
SPACE: dict[str, Any] = {
    "name": "jobs",
    "base": {
        "data": {"rows_per_category": 30, "augment": {"crop": 1}},
        "task": {"categories": ["three", "five", "eight"], "mode": "open"},
        "teacher": "teacher",
        "student": {"model": "cnn", "width": 4},
        "objective": "selkd",
        "training": {"epochs": 60, "batch_size": 16},
        "workers": {"device": "cpu"},
    },
    "search": {"objective.epsilon": {"log": [0.5, 8.0]}},
    "metrics": {"validation/balanced": "maximise"},
    "budget": {"candidates": 4},
    "sampler": "random",
}


@pytest.fixture(scope="module")
def undisturbed(taught: Workspace) -> Any:
    """The table of the study that nobody disturbs. Ray keeps the first token that it is shown: not without ours."""
    return told(sweep(SPACE, taught))


@pytest.fixture
def cluster(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[head.Head]:
    """What `selkd cluster up` starts from the same workspace: its token is found there, and is in no variable."""
    monkeypatch.setenv("PYTHONPATH", str(PACKAGE))
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    yield head.up(workspace, cpus=2)
    assert head.down(workspace)


def test_a_study_whose_job_is_killed_stopped_and_resubmitted_ends_as_one_that_nobody_disturbed(
    undisturbed: Any, workspace: Workspace, tmp_path: Path, cluster: head.Head, waiting: Callable[..., Any]
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "space.yaml").write_text(yaml.safe_dump(SPACE))
    (tree / "elsewhere").symlink_to(tmp_path)
    record = StudyRecord(workspace.studies / "jobs")

    def drives(number: int) -> int | None:
        """The process of this driver, once a student of its trains."""
        seen = [event for event in record.ledger.events() if event["event"] in ("start", "launch")]
        starts = [index for index, event in enumerate(seen) if event["event"] == "start"]
        trains = len(starts) == number and len(seen) > starts[-1] + 1
        return seen[starts[-1]]["pid"] if trains and list(workspace.runs.glob("*/checkpoints/step-*")) else None

    job = {
        "name": "sweep", "what": ["sweep", "space.yaml"], "where": {"ray": cluster.address},
        "resources": {"cpu": {"workers": 2, "cpus": 1, "memory": "100Mi"}},
        "environment": {"tree": str(tree)}, "retries": 1, "deadline": 0.5,
    }  # fmt: skip
    submission = submit(job, workspace)
    [warning] = submission.warnings  # none of them about a token: this cluster asks for one
    assert "not shipped" in warning
    assert "elsewhere" in warning
    os.kill(waiting(lambda: drives(1), 240), signal.SIGKILL)
    waiting(lambda: drives(2), 240)
    assert "attempt 1 of 2 ended with exit code 137; trying again" in "".join(submission.logs())

    state = submission.stop()
    assert (state.status, state.exit_code) == ("stopped", STOPPED)
    left = Study.read("jobs", workspace)
    assert not left.state.finished
    assert left.state.stopped == "interrupted (SIGTERM)", "the job was told to end, and ended in good order"

    again = submission.resubmit()
    state = again.wait(300)
    assert (state.status, state.exit_code) == ("succeeded", 0), "".join(again.logs())
    study = Study.read("jobs", workspace)
    assert told(study) == undisturbed
    assert set(ends(study).values()) == {1}
