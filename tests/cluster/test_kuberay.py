"""What kubectl is given, and how its answers are read."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from selkd.cluster.job import Job
from selkd.cluster.kuberay import MANIFEST, _node, _quantity, _state
from selkd.cluster.submission import submit
from selkd.config import Workspace


def given(log: Path) -> list[tuple[list[str], str]]:
    return [tuple(json.loads(line)) for line in log.read_text().splitlines()]


def test_the_manifest_is_applied_in_its_namespace(job: Callable[..., Job], workspace: Workspace, kubectl: Path) -> None:
    made = job(where="kuberay", kubernetes={"namespace": "selkd", "context": "there"})
    submission = submit(made, workspace)
    calls = given(kubectl)
    assert all(arguments[:2] == ["--context=there", "--namespace=selkd"] for arguments, _ in calls)
    [manifest] = [text for arguments, text in calls if "apply" in arguments]
    assert yaml.safe_load(manifest)["metadata"] == {
        "name": submission.id, "namespace": "selkd",
        "labels": {"app.kubernetes.io/name": "selkd", "app.kubernetes.io/instance": "job"},
    }  # fmt: skip
    assert (submission.record.folder / MANIFEST).read_text() == manifest


def test_what_it_needs_is_looked_for_first(job: Callable[..., Job], workspace: Workspace, kubectl: Path) -> None:
    secrets = {"PASSWORD": {"kubernetes": {"name": "mlflow", "key": "password"}}}
    submission = submit(job(where="kuberay", environment={"secrets": secrets}), workspace)
    asked = [arguments[1:4] for arguments, _ in given(kubectl)]
    assert asked.index(["get", "persistentvolumeclaim", "selkd"]) < asked.index(["apply", "-f", "-"])
    assert ["get", "secret", "mlflow"] in asked
    assert "whether there is room was not checked" in submission.warnings[0]


def test_a_stop_deletes_the_job_and_nothing_else(job: Callable[..., Job], workspace: Workspace, kubectl: Path) -> None:
    submission = submit(job(where="kuberay"), workspace)
    submission.record.stopping()
    submission.place.stop(submission.id)
    deleted = [arguments for arguments, _ in given(kubectl) if "delete" in arguments]
    assert deleted == [["--namespace=default", "delete", "rayjob", submission.id, "--ignore-not-found", "--wait=false"]]
    assert submission.state().status == "stopped"


def test_without_kubectl_the_manifest_is_written_and_it_is_said(
    job: Callable[..., Job], workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    submission = submit(job(where="kuberay"), workspace)
    assert "nothing is applied" in submission.warnings[0]
    assert yaml.safe_load((submission.record.folder / MANIFEST).read_text())["kind"] == "RayJob"
    assert submission.state().status == "waiting"
    assert str(submission.record.folder / MANIFEST) in submission.state().reason


@pytest.mark.parametrize(
    ("deployment", "job", "status"),
    [
        ("", "", "waiting"),
        ("Initializing", "", "waiting"),
        ("Running", "PENDING", "running"),
        ("Running", "RUNNING", "running"),
        ("Retrying", "FAILED", "running"),
        ("Complete", "SUCCEEDED", "succeeded"),
        ("Complete", "FAILED", "failed"),
        ("Complete", "STOPPED", "stopped"),
        ("Failed", "RUNNING", "failed"),
        ("Suspended", "STOPPED", "waiting"),
    ],
)
def test_states_of_the_operator_in_our_words(deployment: str, job: str, status: str) -> None:
    found = _state({"jobDeploymentStatus": deployment, "jobStatus": job, "message": "because"})
    assert found.status == status
    assert found.reason == "because"


@pytest.mark.parametrize(
    ("text", "number"), [("2", 2), ("3920m", 3.92), ("15Gi", 15 * 2**30), ("1000Ki", 1024000), ("16G", 16e9), ("?", 0)]
)
def test_quantities(text: str, number: float) -> None:
    assert _quantity(text) == pytest.approx(number)


def test_a_node_is_what_pods_may_have_of_it() -> None:
    item = {
        "metadata": {"name": "n1", "labels": {"accelerator": "l4"}},
        "status": {
            "allocatable": {"cpu": "7910m", "memory": "27Gi", "nvidia.com/gpu": "1"},
            "capacity": {"cpu": "8", "memory": "32Gi"},
        },
    }
    node = _node(item)
    assert node.has == {"CPU": 7.91, "GPU": 1, "memory": 27 * 2**30}
    assert node.labels == {"accelerator": "l4"}
