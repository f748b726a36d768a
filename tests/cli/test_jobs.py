"""`selkd submit`, `selkd jobs` and `selkd cluster`: what they print, for people and for machines, and exit codes."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from selkd.cli import main
from selkd.cli.app import app, commands
from selkd.errors import UserError

PACKAGE = Path(__file__).parents[2] / "platform"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job in an empty tree, its workspace beside it."""
    tree = tmp_path / "tree"
    tree.mkdir()
    monkeypatch.chdir(tree)
    monkeypatch.setenv("SELKD_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("PYTHONPATH", str(PACKAGE))
    path = tree / "look.yaml"
    path.write_text("what: [doctor, --quick]\n")
    return path


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def answered(*arguments: str) -> Any:
    return json.loads(call(*arguments, "--json").stdout)


def test_from_submission_to_the_end(file: Path) -> None:
    submitted = call("submit", str(file))
    assert "submitted to local; 1 files" in submitted.stdout
    assert "selkd jobs wait look-" in submitted.stdout
    waited = call("jobs", "wait", "look")
    assert waited.exit_code == 0
    assert "succeeded, exit code 0" in waited.stdout
    assert "installation" in call("jobs", "logs", "-f", "look").stdout
    assert "submitted before, succeeded" in call("submit", str(file)).stdout
    assert call("jobs", "status", "look").stdout.startswith("look-")
    assert "look-" in call("jobs", "list").stdout


def test_every_command_answers_machines(file: Path) -> None:
    new = answered("submit", str(file), "what=[data, show, nonesuch]")
    assert new["new"]
    assert new["where"] == "local"
    ended = call("jobs", "wait", "look", "--json")
    assert ended.exit_code == 2
    assert json.loads(ended.stdout)["exit_code"] == 2
    again = answered("submit", str(file), "what=[data, show, nonesuch]")
    assert (again["new"], again["id"]) == (False, new["id"])
    assert answered("jobs", "status", new["id"])["status"] == "failed"
    assert [one["id"] for one in answered("jobs", "list")] == [new["id"]]
    lines = [json.loads(line) for line in call("jobs", "logs", "look", "--json").stdout.splitlines()]
    assert "nonesuch" in "".join(line["log"] for line in lines)
    assert answered("jobs", "stop", "look")["status"] == "failed"
    second = answered("jobs", "resubmit", "look")
    assert second["id"] == f"{new['id']}-2"
    assert call("jobs", "wait", second["id"]).exit_code == 2


def test_wait_has_patience_of_its_own(file: Path) -> None:
    call("submit", str(file))
    assert call("jobs", "wait", "look", "--seconds", "0").exit_code in (0, 124)
    assert call("jobs", "wait", "look").exit_code == 0


def test_a_command_that_does_not_exist_is_refused_here(file: Path) -> None:
    found = call("submit", str(file), "what=[swep, demo-open]")
    assert isinstance(found.exception, UserError)
    assert "Did you mean 'sweep'?" in str(found.exception)
    assert {"sweep", "jobs", "data", "submit"} <= set(commands())


def test_manifests_are_printed_and_nothing_is_submitted(file: Path) -> None:
    found = call("submit", str(file), "where=kuberay", "--render")
    assert yaml.safe_load(found.stdout)["kind"] == "RayJob"
    assert answered("jobs", "list") == []
    refused = call("submit", str(file), "--render")
    assert "Add where=kuberay" in str(refused.exception)


def test_without_jobs_and_clusters_there_is_a_next_step(file: Path) -> None:
    assert "selkd submit JOB.yaml" in call("jobs", "list").stdout
    status = call("cluster", "status")
    assert (status.exit_code, "selkd cluster up" in status.stdout) == (1, True)
    assert answered("cluster", "status") == {"address": None, "alive": False}
    assert answered("cluster", "down") == {"ended": False}


def test_an_unknown_job_is_named_with_the_nearest(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("submit", str(file))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["selkd", "jobs", "status", "lok"])
        patch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as left:
            main()
    assert left.value.code == 2
    assert "Did you mean 'look'?" in capsys.readouterr().err
    call("jobs", "wait", "look")


def test_a_dead_cluster_does_not_hide_the_other_jobs(file: Path) -> None:
    """A job on a cluster that is gone is named, and the rest is listed."""
    from selkd.cluster.job import Job
    from selkd.cluster.record import JobRecord

    call("submit", str(file))
    workspace = Path(os.environ["SELKD_WORKSPACE"])
    gone = JobRecord(workspace / "jobs" / "gone-0")
    gone.describe(Job.of({"name": "gone", "what": ["doctor"], "where": {"ray": "http://127.0.0.1:9"}}), None, 0, 0)
    gone.submitted()
    found = call("jobs", "list")
    assert "look-" in found.stdout
    assert "gone-0: http://127.0.0.1:9" in found.stderr
    call("jobs", "wait", "look")
