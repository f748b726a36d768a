"""Jobs on Kubernetes: manifests for the KubeRay operator, applied by kubectl where it is there."""

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

from selkd.cluster.job import Job
from selkd.cluster.manifests import API, render
from selkd.cluster.room import Node, refuse_without_room
from selkd.cluster.settings import UNITS, Kubernetes
from selkd.cluster.states import State, Status
from selkd.cluster.tree import Tree
from selkd.config import Workspace
from selkd.errors import UserError
from selkd.files import write_bytes

MANIFEST = "manifest.yaml"
FILES = "kind: ConfigMap\n"
"""What a manifest has that brings files along."""
PATIENCE = 60.0
ENDS: dict[str, Status] = {"SUCCEEDED": "succeeded", "FAILED": "failed", "STOPPED": "stopped"}
ABSENT = ("NotFound", "not found")


class KubeRay:
    """One RayJob a job, of the job's id."""

    def __init__(self, kubernetes: Kubernetes, workspace: Workspace) -> None:
        self.kubernetes, self.workspace = kubernetes, workspace

    def check(self, job: Job, tree: Tree | None) -> list[str]:
        if not self._here:
            return ["kubectl is not on the PATH: the manifest is written, and nothing is applied or checked."]
        self._refuse_absent("rayjobs.ray.io", None, "The KubeRay operator is not installed: see docs/cluster.md.")
        self._refuse_absent("persistentvolumeclaim", job.storage.claim, "storage.claim: make it, ReadWriteMany.")
        for name, secret in job.environment.secrets.items():
            if secret.kubernetes:
                self._refuse_absent("secret", secret.kubernetes.name, f"environment.secrets.{name} reads it.")
        nodes = self._nodes()
        if not nodes:
            return ["the nodes cannot be listed with these rights: whether there is room was not checked."]
        refuse_without_room(job, nodes, "the Kubernetes cluster")
        return []

    def submit(self, id: str, job: Job, tree: Tree | None) -> None:
        manifest = render(id, job, tree)
        write_bytes(self.workspace.jobs / id / MANIFEST, manifest.encode())
        if self._here:
            self._kubectl("apply", "-f", "-", given=manifest)
            if FILES in manifest:
                self._own(id)

    def _own(self, id: str) -> None:
        """Whoever deletes the job deletes its files with it. Without the right to say so they stay, and do no harm."""
        with contextlib.suppress(UserError):
            uid = self._kubectl("get", "rayjob", id, "--output=jsonpath={.metadata.uid}").strip()
            owner = {"apiVersion": API, "kind": "RayJob", "name": id, "uid": uid}
            patch = json.dumps({"metadata": {"ownerReferences": [owner]}})
            self._kubectl("patch", "configmap", id, "--type=merge", f"--patch={patch}")

    def state(self, id: str) -> State:
        if not self._here:
            path = self.workspace.jobs / id / MANIFEST
            return State("waiting", reason=f"not followed from here: kubectl is not on the PATH; apply {path}")
        found = self._json("get", "rayjob", id, "--ignore-not-found")
        if not found:
            return State("lost", reason="Kubernetes does not know it: it was deleted")
        return _state(found.get("status", {}))

    def logs(self, id: str, follow: bool) -> Iterator[str]:
        """Those of the submitter, a Kubernetes Job that KubeRay names as the RayJob."""
        command = self._command("logs", f"job/{id}", *(["--follow"] if follow else []))
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            assert process.stdout is not None
            yield from process.stdout

    def stop(self, id: str) -> None:
        """The pods are told to end, and have their grace."""
        path = self.workspace.jobs / id / MANIFEST
        kinds = "rayjob,configmap" if path.is_file() and FILES in path.read_text() else "rayjob"
        self._kubectl("delete", kinds, id, "--ignore-not-found", "--wait=false")

    @property
    def _here(self) -> bool:
        return shutil.which("kubectl") is not None

    def _refuse_absent(self, kind: str, name: str | None, remedy: str) -> None:
        found = self._run("get", kind, *([name] if name else []), "--output=name")
        if found.returncode == 0:
            return
        if any(sign in found.stderr for sign in ABSENT) or "doesn't have a resource type" in found.stderr:
            raise UserError(
                f"namespace {self.kubernetes.namespace}: no {kind} {name or ''}. {remedy}".replace(" .", ".")
            )
        if "forbidden" not in found.stderr.lower():
            raise UserError(f"kubectl: {_first_line(found.stderr)}")

    def _nodes(self) -> list[Node]:
        """All nodes that take pods; none when they may not be listed."""
        found = self._run("get", "nodes", "--output=json")
        if found.returncode or not found.stdout.strip():
            return []
        items = [item for item in json.loads(found.stdout)["items"] if not item["spec"].get("unschedulable")]
        return [_node(item) for item in items]

    def _json(self, *arguments: str) -> dict[str, Any]:
        printed = self._kubectl(*arguments, "--output=json")
        return json.loads(printed) if printed.strip() else {}

    def _kubectl(self, *arguments: str, given: str | None = None) -> str:
        found = self._run(*arguments, given=given)
        if found.returncode:
            raise UserError(f"kubectl {arguments[0]}: {_first_line(found.stderr)}")
        return found.stdout

    def _run(self, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                self._command(*arguments), input=given, capture_output=True, text=True, check=False, timeout=PATIENCE
            )
        except FileNotFoundError:
            raise UserError("kubectl is not on the PATH. Install it, or apply the manifest where it is.") from None
        except subprocess.TimeoutExpired:
            raise UserError(f"kubectl {arguments[0]}: no answer within {PATIENCE:.0f} s.") from None

    def _command(self, *arguments: str) -> list[str]:
        context = [f"--context={self.kubernetes.context}"] if self.kubernetes.context else []
        return ["kubectl", *context, f"--namespace={self.kubernetes.namespace}", *arguments]


def _state(status: dict[str, Any]) -> State:
    """A RayJob's status in our words. While it is tried again, a failed job runs."""
    deployment, job = status.get("jobDeploymentStatus", ""), status.get("jobStatus", "")
    reason = status.get("message") or status.get("reason") or ""
    if deployment == "Complete":
        return State(ENDS.get(job, "failed"), reason=reason)
    if deployment == "Failed":
        return State("failed", reason=reason)
    if deployment in ("Running", "Retrying"):
        return State("running", reason=reason)
    return State("waiting", reason=reason or deployment)


def _node(item: dict[str, Any]) -> Node:
    has = item["status"]["allocatable"]
    resources = {
        "CPU": _quantity(has["cpu"]),
        "GPU": _quantity(has.get("nvidia.com/gpu", "0")),
        "memory": _quantity(has["memory"]),
    }
    return Node(item["metadata"]["name"], resources, item["metadata"].get("labels", {}))


def _quantity(text: str) -> float:
    """`3920m`, `15Gi`, `2`: Kubernetes' numbers."""
    found = re.fullmatch(r"([0-9.]+)(m|k|M|G|T|Ki|Mi|Gi|Ti)?", text)
    if found is None:
        return 0.0
    units = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, **UNITS}
    return float(found[1]) * units.get(found[2], 1)


def _first_line(text: str) -> str:
    return next((line for line in text.splitlines() if line.strip()), "it failed without a word")
