"""What holds for every place that runs jobs: this machine, a real Ray cluster, Kubernetes by its manifests."""

import json
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from selkd.cluster import head
from selkd.cluster.job import Job
from selkd.cluster.local import PROCESS
from selkd.cluster.processes import Recorded
from selkd.cluster.states import STOPPED
from selkd.cluster.submission import Submission, find, submissions, submit
from selkd.config import Workspace
from selkd.errors import UserError
from selkd.files import fingerprint, write_json

SECONDS = 240


@dataclass
class Target:
    """A place, with what the suite needs to know of it."""

    name: str
    where: Any
    workspace: Workspace
    make: Callable[..., Job]

    @property
    def runs(self) -> bool:
        """Whether commands really run; no Kubernetes runs here."""
        return self.name != "kuberay"

    def job(self, *what: str, **keys: Any) -> Job:
        return self.make(what=list(what) or ["doctor", "--quick"], where=self.where, **keys)

    def submit(self, *what: str, **keys: Any) -> Submission:
        return submit(self.job(*what, **keys), self.workspace)


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.slow), "kuberay"])
def target(
    request: pytest.FixtureRequest, workspace: Workspace, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> Target:
    if request.param == "kuberay":
        request.getfixturevalue("kubectl")
        return Target("kuberay", "kuberay", workspace, job)
    if request.param == "local":
        return Target("local", "local", workspace, job)
    running: head.Head = request.getfixturevalue("cluster")
    monkeypatch.setenv("RAY_AUTH_TOKEN", running.token.read_text())
    return Target("ray", {"ray": running.address}, workspace, job)


@pytest.fixture
def running(target: Target) -> Target:
    if not target.runs:
        pytest.skip("no Kubernetes runs here")
    return target


def applied(target: Target) -> int:
    """How often Kubernetes was given a manifest."""
    log = target.workspace.root.parent / "kubectl.log"
    return sum("apply" in json.loads(line)[0] for line in log.read_text().splitlines())


def test_a_job_that_succeeds(running: Target) -> None:
    submission = running.submit("doctor", "--quick")
    assert submission.is_new
    state = submission.wait(SECONDS)
    assert (state.status, state.exit_code) == ("succeeded", 0)
    assert "installation" in "".join(submission.logs())


def test_the_exit_code_is_the_commands(running: Target) -> None:
    submission = running.submit("data", "show", "nonesuch")
    state = submission.wait(SECONDS)
    assert (state.status, state.exit_code) == ("failed", 2)
    assert "nonesuch" in "".join(submission.logs(follow=True))


def test_it_sees_its_variables_and_the_workspace(running: Target) -> None:
    elsewhere = running.workspace.root.parent / "elsewhere"
    submission = running.submit(
        "doctor", "--quick", "--json", storage={"workspace": str(elsewhere)},
        environment={"variables": {"COLUMNS": 77}},
    )  # fmt: skip
    assert submission.wait(SECONDS).exit_code == 0
    assert str(elsewhere) in "".join(submission.logs())


def test_the_same_job_twice_is_one_job(target: Target) -> None:
    first = target.submit()
    second = target.submit()
    assert first.id == second.id
    assert first.is_new
    assert not second.is_new
    assert [one.id for one in submissions(target.workspace)] == [first.id]
    assert find("job", target.workspace).id == first.id
    if target.runs:
        first.wait(SECONDS)
        assert not target.submit().is_new
    else:
        assert applied(target) == 1


def test_the_same_job_at_the_same_time_is_one_job(target: Target) -> None:
    found: list[Submission] = []
    threads = [threading.Thread(target=lambda: found.append(target.submit())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.id for one in found}) == 1
    assert sum(one.is_new for one in found) == 1
    if target.runs:
        found[0].wait(SECONDS)


def test_a_submission_that_was_cut_off_goes_on(target: Target) -> None:
    """The machine that submits may die at any time: here, after the place had the job and before that was written."""
    job = target.job()
    described = submit(job, target.workspace)
    ledger = described.record.ledger.path
    lines = ledger.read_text().splitlines(keepends=True)
    ledger.write_text("".join(line for line in lines if '"event":"submitted"' not in line))
    again = submit(job, target.workspace)
    assert again.id == described.id
    if target.runs:
        assert again.wait(SECONDS).exit_code == 0
        assert "".join(again.logs()).count("installation") == 1


def test_another_tree_is_another_job(target: Target, tree: Path) -> None:
    first = target.job().id(fingerprint("one tree"))
    (tree / "notes.txt").write_text("something else\n")
    assert target.job().id(fingerprint("another")) != first


def test_installed_code_is_used_without_a_tree(running: Target) -> None:
    submission = running.submit(environment={"code": "image"})
    assert submission.described()["files"] == 0
    assert submission.wait(SECONDS).exit_code == 0


REMOTE = """
import os, ray, selkd
ray.init(log_to_driver=False)
where = ray.remote(lambda: (selkd.__file__, os.environ["GREETING"]))
print("driver", os.path.relpath(selkd.__file__), "worker", *ray.get(where.remote()))
"""


@pytest.mark.slow
def test_what_was_shipped_is_what_workers_import(
    workspace: Workspace, job: Callable[..., Job], cluster: head.Head, source: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """And not what is installed on their nodes; variables are theirs, too."""
    monkeypatch.setenv("RAY_AUTH_TOKEN", cluster.token.read_text())
    source(REMOTE)
    environment = {"variables": {"GREETING": "hello"}}
    submission = submit(job(where={"ray": cluster.address}, environment=environment), workspace)
    state, printed = submission.wait(SECONDS), "".join(submission.logs())
    assert state.exit_code == 0, printed
    [line] = [line for line in printed.splitlines() if line.startswith("driver")]
    _, driver, _, worker, greeting = line.split()
    assert driver == "platform/selkd/__init__.py"
    assert worker.startswith(str(cluster.temporary))
    assert worker.endswith("platform/selkd/__init__.py")
    assert greeting == "hello"


def test_what_no_node_has_is_refused_and_not_recorded(running: Target) -> None:
    for wanted in ({"cpus": 4096}, {"gpus": 99}, {"memory": "999Ti"}):
        with pytest.raises(UserError, match="would wait for ever"):
            running.submit(resources={"big": wanted})
    assert submissions(running.workspace) == []


def test_a_job_that_is_stopped(running: Target) -> None:
    """It waits for another that does not end while this test runs: the test itself."""
    endless = Submission("endless-0", running.workspace)
    endless.record.describe(running.make(name="endless"), None, 0, 0)
    endless.record.submitted()
    write_json(endless.record.folder / PROCESS, asdict(Recorded.of(psutil.Process())))
    submission = running.submit(
        "jobs", "wait", "endless", storage={"workspace": str(running.workspace.root)}, retries=3
    )
    assert not submission.wait(3).ended
    state = submission.stop()
    assert (state.status, state.exit_code) == ("stopped", STOPPED)
    assert submission.state() == state
    assert submission.stop() == state


def test_it_runs_again_under_another_id(running: Target, tree: Path) -> None:
    first = running.submit("data", "show", "nonesuch")
    first.wait(SECONDS)
    second = first.resubmit()
    assert second.is_new
    assert second.id == f"{first.id}-2"
    assert second.wait(SECONDS).exit_code == 2
    assert running.submit("data", "show", "nonesuch").id == second.id
    (tree / "notes.txt").write_text("something else\n")
    with pytest.raises(UserError, match="on another tree it is another job"):
        second.resubmit()


def test_what_nobody_knows_any_more_is_lost(running: Target) -> None:
    forgotten = Submission("forgotten-0", running.workspace)
    forgotten.record.describe(running.job(), None, 0, 0)
    forgotten.record.submitted()
    assert (forgotten.state().status, forgotten.state().exit_code) == ("lost", 1)
    assert forgotten.record.ended is None


def test_a_file_that_is_not_shipped_is_refused(running: Target) -> None:
    with pytest.raises(UserError, match=r"what: space\.yaml is not there"):
        running.submit("sweep", "space.yaml")


def test_states_are_told_in_the_same_words(target: Target) -> None:
    described = target.submit().described()
    assert described["status"] in ("waiting", "running", "succeeded", "failed", "stopped", "lost")
    assert described["where"].startswith(target.name)
    assert json.dumps(described)
