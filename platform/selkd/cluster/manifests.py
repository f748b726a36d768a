"""A job as KubeRay's manifests: a RayJob with a cluster of its own, or one on a RayCluster that stays."""

import shlex
from collections.abc import Mapping
from importlib.metadata import version
from math import ceil
from pathlib import PurePosixPath
from typing import Any

from selkd.cluster.blocks import Noted, text
from selkd.cluster.job import MOUNTED, Job
from selkd.cluster.orders import promised
from selkd.cluster.settings import Nodes, Place
from selkd.cluster.tree import Tree

HOUR = 3600
API = "ray.io/v1"
VOLUME, FILES = "workspace", "files"
NAMED = "/etc/selkd"
"""Where the head has the files that the command names."""
USER = 1000
"""The user of the image."""
KEPT = 600
"""Seconds for which a cluster stays after its job, so that one can look at it."""
SCHEDULED = 1800
"""Seconds in which all pods must have found nodes."""
DASHBOARD, AGENT = 8265, 52365
NOTICE = 25
"""Seconds that students have when their pod ends; clouds announce a preemption 30 s before."""
LEAVE = (
    *("sh", "-lc", f'ray drain-node "$@"; sleep {NOTICE}', "leave"),
    *("--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "its pod ends"),
    *("--deadline-remaining-seconds", str(NOTICE)),
)

Manifest = dict[str, Any]


def render(id: str, job: Job, named: Tree | None = None) -> str:
    """The file for `kubectl apply`; `named` are the files of this machine that the command names."""
    shared = job.kubernetes.cluster
    about = [
        f"# {id}: selkd {shlex.join(job.what)}",
        "# Written by `selkd submit --render`; change the job's file and render again.",
        "# Needs the KubeRay operator 1.5.1 or later, for token authentication.",
    ]
    documents = [ray_cluster(shared, job), ray_job(id, job)] if shared else [ray_job(id, job, named)]
    if named:
        documents = [config_map(id, job, named), *documents]
    return "\n".join(about) + "\n" + text(documents)


def ray_job(id: str, job: Job, named: Tree | None = None) -> Manifest:
    """The job: its command, how often it is tried, and how long."""
    shared = job.kubernetes.cluster
    words = [f"{NAMED}/{word}" if named and word in named.files else word for word in job.what]
    spec: Manifest = {"entrypoint": shlex.join(["selkd", *words])}
    if job.driver.cpus:
        spec["entrypointNumCpus"] = _number(job.driver.cpus)
    if job.driver.gpus:
        spec["entrypointNumGpus"] = job.driver.gpus
    again = "Each retry is a new submission" + ("." if shared else " on a new cluster; the workspace outlives it.")
    spec["backoffLimit"] = Noted(job.retries, again)
    if job.deadline:
        spec["activeDeadlineSeconds"] = ceil(job.deadline * HOUR)
    spec["preRunningDeadlineSeconds"] = Noted(
        SCHEDULED, "Pods for which there is no node fail the job: nothing waits unseen."
    )
    if shared:
        spec["clusterSelector"] = {"ray.io/cluster": shared}
    else:
        spec["shutdownAfterJobFinishes"] = Noted(True, "The default keeps a finished job's nodes, and their price.")
        spec["ttlSecondsAfterFinished"] = KEPT
    spec["submitterPodTemplate"] = Noted(_submitter(job), "Hands the command to the head, and prints what it prints.")
    if not shared:
        spec["rayClusterSpec"] = _cluster(job)
    if named:
        _mount(spec["rayClusterSpec"]["headGroupSpec"]["template"]["spec"], id, named)
    return {"apiVersion": API, "kind": "RayJob", "metadata": _metadata(id, job), "spec": spec}


def ray_cluster(name: str, job: Job) -> Manifest:
    """A cluster that stays, for several jobs."""
    return {"apiVersion": API, "kind": "RayCluster", "metadata": _metadata(name, job), "spec": _cluster(job)}


def config_map(id: str, job: Job, named: Tree) -> Manifest:
    """The files that the command names, as they are here."""
    data = {key: path.read_text() for key, path in zip(_keys(named), named.files.values(), strict=True)}
    why = "Files of the machine that submitted, under the names of the command."
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata(id, job), "data": Noted(data, why)}


def _mount(pod: Manifest, id: str, named: Tree) -> None:
    """Let the pod see the files, in folders as here."""
    items = [{"key": key, "path": name} for key, name in zip(_keys(named), named.files, strict=True)]
    pod["containers"][0]["volumeMounts"].append({"name": FILES, "mountPath": NAMED, "readOnly": True})
    pod["volumes"].append({"name": FILES, "configMap": {"name": id, "items": items}})


def _keys(named: Tree) -> list[str]:
    """Keys of a ConfigMap have no folders."""
    return [f"{number}-{path.name}" for number, path in enumerate(map(PurePosixPath, named.files), start=1)]


def _cluster(job: Job) -> Manifest:
    grows = any(nodes.most for nodes in job.resources.values())
    spec: Manifest = {
        "rayVersion": Noted(version("ray"), "That of the image."),
        "authOptions": Noted(
            {"mode": "token"}, "The operator makes the token. Without one, whoever reaches the head runs code on it."
        ),
    }
    if grows:
        spec["enableInTreeAutoscaling"] = True
        spec["autoscalerOptions"] = {
            "version": "v2",
            "idleTimeoutSeconds": 120,
            "resources": _exactly({"cpu": "500m", "memory": "512Mi"}),
            "securityContext": _CONFINED,
        }
    spec["headGroupSpec"] = {
        "rayStartParams": {"num-cpus": Noted("0", "Students train on workers; the head has the driver to look after.")},
        "template": {"spec": _pod("ray-head", job, job.kubernetes.head, DASHBOARD, "/api/gcs_healthz")},
    }
    spec["workerGroupSpecs"] = [_workers(name, nodes, job) for name, nodes in job.resources.items()]
    return spec


def _workers(name: str, nodes: Nodes, job: Job) -> Manifest:
    pod = _pod("ray-worker", job, nodes, AGENT, "/api/local_raylet_healthz")
    if nodes.labels:
        pod["nodeSelector"] = dict(nodes.labels)
    if nodes.gpus:
        pod["tolerations"] = Noted(
            [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "Clouds keep other pods off nodes with GPUs by this taint.",
        )
    [container] = pod["containers"]
    container["lifecycle"] = Noted(
        {"preStop": {"exec": {"command": list(LEAVE)}}},
        "Before the node goes: students save where they are, and go on elsewhere.",
    )
    return {
        "groupName": name,
        "replicas": nodes.workers,
        "minReplicas": nodes.workers,
        "maxReplicas": nodes.most or nodes.workers,
        "rayStartParams": {},
        "template": {"spec": pod},
    }


def _pod(name: str, job: Job, place: Place, port: int, health: str) -> Manifest:
    """A pod of the cluster: not root, with its probes and the shared workspace."""
    mounted = str(job.storage.workspace or MOUNTED)
    asked = {"httpGet": {"path": health, "port": port}}
    container = {
        "name": name,
        "image": job.environment.image,
        "env": _variables(job, mounted),
        "resources": Noted(_exactly(_amount(place)), "Requests are limits: no pod lives at its neighbours' expense."),
        "readinessProbe": Noted(
            {**asked, "periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 12},
            "KubeRay's own probes call wget, which slim images lack. Health needs no token.",
        ),
        "livenessProbe": {
            **asked,
            "initialDelaySeconds": 60,
            "periodSeconds": 10,
            "timeoutSeconds": 10,
            "failureThreshold": 30,
        },
        "securityContext": _CONFINED,
        "volumeMounts": [{"name": VOLUME, "mountPath": mounted}],
    }
    return {
        "restartPolicy": Noted("Never", "A node that died is another node when it comes back."),
        "terminationGracePeriodSeconds": Noted(60, f"{NOTICE} s for students to leave, and time for Ray to end."),
        "securityContext": _AS_USER,
        "containers": [container],
        "volumes": [
            {
                "name": VOLUME,
                "persistentVolumeClaim": Noted(
                    {"claimName": job.storage.claim}, "ReadWriteMany. All state is here, and none in the cluster."
                ),
            }
        ],
    }


def _submitter(job: Job) -> Manifest:
    container = {
        "name": "ray-job-submitter",
        "image": job.environment.image,
        "resources": _exactly({"cpu": "500m", "memory": "512Mi"}),
        "securityContext": _CONFINED,
    }
    return {"spec": {"restartPolicy": "Never", "securityContext": _AS_USER, "containers": [container]}}


def _variables(job: Job, mounted: str) -> list[Manifest]:
    values = {"SELKD_WORKSPACE": mounted, **job.storage.variables, "RAY_USAGE_STATS_ENABLED": "0", **promised(job)}
    values |= job.environment.variables
    found: list[Manifest] = [{"name": name, "value": value} for name, value in values.items()]
    for name, secret in job.environment.secrets.items():
        assert secret.kubernetes is not None, "a job for Kubernetes names Kubernetes Secrets"
        found.append({"name": name, "valueFrom": {"secretKeyRef": secret.kubernetes.model_dump()}})
    return found


def _amount(place: Place) -> dict[str, Any]:
    found: dict[str, Any] = {"cpu": str(_number(place.cpus)), "memory": place.memory}
    return found | ({"nvidia.com/gpu": str(place.gpus)} if place.gpus else {})


def _exactly(amount: Mapping[str, Any]) -> Manifest:
    return {"requests": dict(amount), "limits": dict(amount)}


def _metadata(name: str, job: Job) -> Manifest:
    labels = {"app.kubernetes.io/name": "selkd", "app.kubernetes.io/instance": job.name}
    return {"name": name, "namespace": job.kubernetes.namespace, "labels": labels}


def _number(value: float) -> int | float:
    return int(value) if value == int(value) else value


_AS_USER = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "fsGroup": USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_CONFINED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
