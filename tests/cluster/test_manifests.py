"""Manifests: valid against the operator's published schema, safe by default, and written for people."""

import json
import os
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from selkd.cluster.blocks import Noted, plain, text
from selkd.cluster.job import Job
from selkd.cluster.manifests import USER, ray_cluster, ray_job, render

ROOT = Path(__file__).parents[2]
SCHEMAS = Path(os.environ.get("SELKD_KUBERAY_SCHEMAS") or ROOT.parent / "shared" / "schemas" / "kuberay")
GPU = {"workers": 0, "most": 4, "cpus": 8, "gpus": 1, "memory": "32Gi", "labels": {"accelerator": "l4"}}
CPU = {"workers": 2, "most": 16, "cpus": 7.5, "memory": "16Gi"}
SECRETS = {"MLFLOW_TRACKING_PASSWORD": {"kubernetes": {"name": "mlflow", "key": "password"}}}
ODD = (
    "no",
    "1e3",
    "0x10",
    "a: b",
    "- x",
    "#",
    "'",
    '"',
    "{}",
    "null",
    "é ü",
    " padded ",
    "",
    "*",
    "&a",
    "!tag",
    "a # b",
)


def described(**keys: Any) -> Job:
    whole: dict[str, Any] = {
        "name": "a-job", "what": ["sweep", "fashion-open", "budget.candidates=250"], "where": "kuberay",
        "resources": {"cpu": CPU, "gpu": GPU}, "retries": 3, "deadline": 48, "driver": {"cpus": 0.5},
        "environment": {"image": "registry.example.com/selkd:cpu", "variables": {"A": 1}, "secrets": SECRETS},
    }  # fmt: skip
    return Job.of(whole | keys)


def pods(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The specification of every pod of a RayJob or RayCluster."""
    spec = document["spec"]
    if "submitterPodTemplate" in spec:
        yield spec["submitterPodTemplate"]["spec"]
    cluster = spec if document["kind"] == "RayCluster" else spec.get("rayClusterSpec")
    if cluster:
        yield cluster["headGroupSpec"]["template"]["spec"]
        yield from (group["template"]["spec"] for group in cluster["workerGroupSpecs"])


def rendered(job: Job) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(render(job.id(None), job)))


@cache
def schema(kind: str) -> dict[str, Any]:
    path = SCHEMAS / f"ray.io_{kind.lower()}s.yaml"
    if not path.is_file():
        pytest.skip(
            f"{path} is absent: set SELKD_KUBERAY_SCHEMAS to the folder of KubeRay's custom resource definitions"
        )
    definition = yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    version = next(one for one in definition["spec"]["versions"] if one["name"] == "v1")
    return strict(version["schema"]["openAPIV3Schema"])


def strict(found: Any) -> Any:
    """The schema as the API server applies it to what is unknown, except that it refuses where that would prune."""
    if isinstance(found, list):
        return [strict(one) for one in found]
    if not isinstance(found, dict):
        return found
    inner = {key: strict(value) for key, value in found.items()}
    if found.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string", "number"]}
    if "properties" in found and "additionalProperties" not in found and isinstance(found["properties"], dict):
        inner["additionalProperties"] = bool(found.get("x-kubernetes-preserve-unknown-fields"))
    return inner


JOBS = {
    "cpu and gpu": {},
    "fixed size": {"resources": {"cpu": {"workers": 2}}},
    "a cluster that stays": {"kubernetes": {"cluster": "ours", "namespace": "selkd"}},
    "as little as possible": {"resources": {}, "retries": 0, "deadline": None, "driver": {}, "environment": {}},
    "gpu of its own": {"driver": {"cpus": 1, "gpus": 1}},
}


@pytest.mark.parametrize("keys", JOBS.values(), ids=JOBS)
def test_manifests_are_valid_against_the_operators_schema(keys: dict[str, Any]) -> None:
    for document in rendered(described(**keys)):
        whole = schema(document["kind"])
        metadata = {"type": "object"}
        jsonschema.Draft202012Validator(
            {**whole, "properties": {**whole["properties"], "metadata": metadata}}
        ).validate(document)


@pytest.mark.parametrize("wrong", [{"backofLimit": 1}, {"backoffLimit": "three"}, {"authOptions": {"mode": "none"}}])
def test_the_schema_refuses_what_is_wrong(wrong: dict[str, Any]) -> None:
    [document] = rendered(described())
    target = document["spec"]["rayClusterSpec"] if "authOptions" in wrong else document["spec"]
    target.update(wrong)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema("RayJob")).validate(document)


@pytest.mark.parametrize("keys", JOBS.values(), ids=JOBS)
def test_no_pod_is_root_and_requests_are_limits(keys: dict[str, Any]) -> None:
    found = [pod for document in rendered(described(**keys)) for pod in pods(document)]
    assert found
    for pod in found:
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["restartPolicy"] == "Never"
        for container in pod["containers"]:
            assert container["resources"]["requests"] == container["resources"]["limits"]
            assert not container["securityContext"]["allowPrivilegeEscalation"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("keys", JOBS.values(), ids=JOBS)
def test_every_cluster_asks_for_a_token_and_keeps_its_state_outside(keys: dict[str, Any]) -> None:
    documents = rendered(described(**keys))
    clusters = [d["spec"] if d["kind"] == "RayCluster" else d["spec"].get("rayClusterSpec") for d in documents]
    for cluster in filter(None, clusters):
        assert cluster["authOptions"] == {"mode": "token"}
        for template in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
            pod = template["template"]["spec"]
            [container], [volume] = pod["containers"], pod["volumes"]
            assert volume["persistentVolumeClaim"] == {"claimName": "selkd"}
            [mount] = container["volumeMounts"]
            assert mount == {"name": volume["name"], "mountPath": "/mnt/selkd"}
            assert {"name": "SELKD_WORKSPACE", "value": "/mnt/selkd"} in container["env"]
            assert container["readinessProbe"]
            assert container["livenessProbe"]


def test_groups_scale_between_their_bounds_and_gpus_have_their_nodes() -> None:
    [document] = rendered(described())
    cluster = document["spec"]["rayClusterSpec"]
    assert cluster["enableInTreeAutoscaling"]
    cpu, gpu = cluster["workerGroupSpecs"]
    assert (cpu["replicas"], cpu["minReplicas"], cpu["maxReplicas"]) == (2, 2, 16)
    assert (gpu["replicas"], gpu["minReplicas"], gpu["maxReplicas"]) == (0, 0, 4)
    pod = gpu["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"] == {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "1"}
    assert pod["nodeSelector"] == {"accelerator": "l4"}
    assert pod["tolerations"]
    assert "tolerations" not in cpu["template"]["spec"]
    told = {
        one["name"]: one.get("value") for one in cluster["headGroupSpec"]["template"]["spec"]["containers"][0]["env"]
    }
    sizes = [(count, has["CPU"], has["GPU"]) for count, has in json.loads(told["SELKD_NODES"])]
    assert sizes == [(16, 7.5, 0), (4, 8, 1)], "a sweep asks for all that the cluster may become"
    [fixed] = rendered(described(resources={"cpu": {"workers": 2}}))
    assert "enableInTreeAutoscaling" not in fixed["spec"]["rayClusterSpec"]


def test_retries_and_deadline_are_kubernetes_own() -> None:
    [document] = rendered(described())
    spec = document["spec"]
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"]) == (3, 48 * 3600)
    assert spec["shutdownAfterJobFinishes"]
    assert spec["entrypoint"] == "selkd sweep fashion-open budget.candidates=250"


def test_words_of_the_command_stay_words() -> None:
    [document] = rendered(described(what=["sweep", "my space.yaml", "name=$(id); `id`"]))
    assert document["spec"]["entrypoint"] == "selkd sweep 'my space.yaml' 'name=$(id); `id`'"


def test_a_cluster_that_stays_has_its_jobs_beside_it() -> None:
    cluster, job = rendered(described(kubernetes={"cluster": "ours", "namespace": "selkd"}))
    assert (cluster["kind"], cluster["metadata"]["name"]) == ("RayCluster", "ours")
    assert job["spec"]["clusterSelector"] == {"ray.io/cluster": "ours"}
    assert "rayClusterSpec" not in job["spec"]
    assert "shutdownAfterJobFinishes" not in job["spec"]
    assert {cluster["metadata"]["namespace"], job["metadata"]["namespace"]} == {"selkd"}


def test_the_file_is_what_the_objects_say() -> None:
    job = described()
    assert rendered(job) == [plain(ray_job(job.id(None), job))]
    assert next(yaml.safe_load_all(render("x", described(kubernetes={"cluster": "c"})))) == plain(ray_cluster("c", job))


def test_the_file_is_pleasant_to_read() -> None:
    lines = render("x", described()).splitlines()
    assert not any(re.search(r"[{\[].*[:,]", line) for line in lines if not re.search(r"# |: '", line)), (
        "block style throughout"
    )
    assert not any("&" in line or "*" in line for line in lines), "no anchors"
    assert max(map(len, lines)) <= 120
    reasons = [line.strip() for line in lines if line.strip().startswith("#")]
    assert len(reasons) >= 12
    assert len(reasons) == len(set(reasons)), "a reason is given once"
    assert lines[0] == "# x: selkd sweep fashion-open budget.candidates=250"


def test_names_fit_what_the_operator_takes() -> None:
    """RayJob names are DNS labels of at most 47 characters, a number for a second run included."""
    longest = "a" * 30
    id = described(name=longest).id(None)
    assert len(f"{id}-99") <= 47
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", id)


@pytest.mark.parametrize("value", ODD)
def test_odd_text_is_read_back_as_it_was(value: str) -> None:
    assert yaml.safe_load(text([{"key": [{"name": value}], value or "k": Noted(value, "why")}])) == {
        "key": [{"name": value}],
        value or "k": value,
    }


@pytest.mark.parametrize(
    "value", ["two\nlines\n", "a\n\n  b\n\n", " first\n\tlast\n\n", "a\n---\nb: |\n", "\x07\n\n", "a\n \n b\nc"]
)
def test_text_of_several_lines_is_read_back_as_it_was(value: str) -> None:
    written = text([{"key": [{"name": value}], "noted": Noted(value, "why")}])
    assert yaml.safe_load(written) == {"key": [{"name": value}], "noted": value}


def test_variables_cannot_break_out_of_their_place(job: Callable[..., Job]) -> None:
    value = 'x"\n      - name: EVIL\n        value: "1'
    made = described(environment={"variables": {"A": value}})
    [document] = rendered(made)
    head = document["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    assert [one["name"] for one in head["env"]] == ["SELKD_WORKSPACE", "RAY_USAGE_STATS_ENABLED", "SELKD_NODES", "A"]
    assert head["env"][-1]["value"] == value


def test_the_image_has_the_user_and_the_programs_that_pods_start() -> None:
    built = (ROOT / "Dockerfile").read_text()
    assert f"--uid {USER}" in built
    assert "ln -s /opt/selkd/bin/ray /opt/selkd/bin/selkd /usr/local/bin/" in built
