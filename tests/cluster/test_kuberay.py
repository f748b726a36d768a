"""What kubectl is given, and how its answers are read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from selkd.cluster.job import Job
from selkd.cluster.kuberay import MANIFEST, _node, _quantity, _state
from selkd.cluster.submission import submit
from selkd.config import Workspace
from selkd.errors import UserError


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


SPACE = "name: small\nbase:\n  seed: 3\n\n# the end\n"


def test_files_that_the_command_names_go_to_the_pods(
    job: Callable[..., Job], workspace: Workspace, kubectl: Path, tree: Path
) -> None:
    """So that the job of a laptop runs there with one word changed."""
    (tree / "spaces").mkdir()
    (tree / "spaces" / "small.yaml").write_text(SPACE)
    made = job(where="kuberay", what=["sweep", "spaces/small.yaml", "/mnt/selkd/theirs.yaml", "base.a=b.yaml"])
    submission = submit(made, workspace)
    files, document = yaml.safe_load_all((submission.record.folder / MANIFEST).read_text())
    assert "  small.yaml: |\n    name: small" in (submission.record.folder / MANIFEST).read_text().replace("1-", "")
    entry = "selkd sweep /etc/selkd/spaces/small.yaml /mnt/selkd/theirs.yaml base.a=b.yaml"
    assert document["spec"]["entrypoint"] == entry
    head = document["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    [volume] = [volume for volume in head["volumes"] if "configMap" in volume]
    [mount] = [mount for mount in head["containers"][0]["volumeMounts"] if mount["name"] == volume["name"]]
    assert volume["configMap"]["name"] == files["metadata"]["name"] == submission.id
    seen = {f"{mount['mountPath']}/{item['path']}": files["data"][item["key"]] for item in volume["configMap"]["items"]}
    assert seen == {"/etc/selkd/spaces/small.yaml": SPACE}

    [patch] = [arguments for arguments, _ in given(kubectl) if "patch" in arguments]
    assert patch[1:4] == ["patch", "configmap", submission.id]
    [owner] = json.loads(patch[-1].removeprefix("--patch="))["metadata"]["ownerReferences"]
    assert owner == {"apiVersion": "ray.io/v1", "kind": "RayJob", "name": submission.id, "uid": "the-uid"}

    submission.record.stopping()
    submission.place.stop(submission.id)
    assert ["delete", "rayjob,configmap", submission.id] in [arguments[1:4] for arguments, _ in given(kubectl)]
    (tree / "spaces" / "small.yaml").write_text(SPACE + "#\n")
    assert submit(made, workspace).id != submission.id, "with another content it is another job"


@pytest.mark.parametrize(
    ("word", "keys", "why"),
    [
        ("absent.yaml", {}, "absent.yaml is not there"),
        ("../secret.yaml", {}, r"\.\./secret.yaml is"),
        ("leak.yaml", {}, "leak.yaml is"),
        ("space.yaml", {"kubernetes": {"cluster": "ours"}}, "run already"),
        ("large.yaml", {}, "at most 1 MiB"),
    ],
)
def test_files_that_cannot_go_to_the_pods_are_refused(
    job: Callable[..., Job], workspace: Workspace, kubectl: Path, tree: Path, word: str, keys: dict[str, Any], why: str
) -> None:
    (tree.parent / "secret.yaml").write_text("a: b\n")
    (tree / "leak.yaml").symlink_to(tree.parent / "secret.yaml")
    (tree / "space.yaml").write_text(SPACE)
    (tree / "large.yaml").write_text("#" * 1_000_001)
    with pytest.raises(UserError, match=why):
        submit(job(where="kuberay", what=["sweep", word], **keys), workspace)
    assert not kubectl.exists()


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


def test_a_job_whose_files_it_may_not_own_is_submitted_all_the_same(
    job: Callable[..., Job], workspace: Workspace, kubectl: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATCHES", "refused")
    (tree / "small.yaml").write_text(SPACE)
    submission = submit(job(where="kuberay", what=["sweep", "small.yaml"]), workspace)
    assert submission.is_new
    submission.record.stopping()
    submission.place.stop(submission.id)
    assert ["delete", "rayjob,configmap", submission.id] in [arguments[1:4] for arguments, _ in given(kubectl)]
