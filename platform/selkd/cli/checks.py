"""What `selkd doctor` looks at."""

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from selkd import plugins
from selkd.config import Workspace
from selkd.errors import UserError

LEAST_DISK = 2 * 2**30


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: Literal["ok", "note", "broken"]
    found: str
    remedy: str = ""


def run_checks(quick: bool) -> list[Check]:
    """All checks; a check that fails in an unforeseen way is broken, never a traceback."""
    checks = (
        [installation, workspace, disk]
        if quick
        else [installation, plug_ins, devices, workspace, disk, data, mlflow, ray]
    )
    return [_guarded(check) for check in checks]


def _guarded(check: Callable[[], Check]) -> Check:
    try:
        return check()
    except Exception as error:
        return Check(check.__name__, "broken", f"{type(error).__name__}: {error}", "Report this with the line above.")


def installation() -> Check:
    versions = {n: importlib.metadata.version(n) for n in ("selkd", "torch", "torchvision", "ray", "mlflow", "optuna")}
    shown = ", ".join(f"{name} {version}" for name, version in versions.items())
    return Check("installation", "ok", f"Python {sys.version.split()[0]}, {shown}")


def plug_ins() -> Check:
    found = ", ".join(f"{name} {version}" for name, version in plugins.versions().items()) or "none"
    try:
        plugins.load()
    except UserError as error:
        return Check("plug-ins", "broken", found, str(error))
    return Check("plug-ins", "ok", found)


def devices() -> Check:
    import torch

    cpus = f"{os.cpu_count()} CPUs"
    if not torch.cuda.is_available():
        return Check("devices", "ok", f"{cpus}, no GPU")
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    torch.ones(1, device="cuda").sum().item()
    return Check("devices", "ok", f"{cpus}, {', '.join(names)}")


def workspace() -> Check:
    root = Workspace.default().root
    parent = next(p for p in (root, *root.parents) if p.exists())
    if not os.access(parent, os.W_OK) or os.statvfs(parent).f_flag & os.ST_RDONLY:
        return Check("workspace", "broken", f"{root} cannot be written", "Set SELKD_WORKSPACE to a writable folder.")
    return Check("workspace", "ok", str(root))


def disk() -> Check:
    root = Workspace.default().root
    parent = next(p for p in (root, *root.parents) if p.exists())
    free = shutil.disk_usage(parent).free
    shown = f"{free / 2**30:.1f} GiB free at {parent}"
    if free < LEAST_DISK:
        return Check("disk", "note", shown, "Free some space, or set SELKD_WORKSPACE to a larger disk.")
    return Check("disk", "ok", shown)


def data() -> Check:
    from selkd.data import load, sources

    here, missing = [], []
    for name in sources.names():
        try:
            load(name, root=Workspace.default().data)
            here.append(name)
        except UserError:
            missing.append(name)
    remedy = f"For {', '.join(missing)}: `selkd data fetch NAME`." if missing else ""
    return Check("data", "note" if missing else "ok", f"ready: {', '.join(here)}", remedy)


def mlflow() -> Check:
    from selkd.tracking import reachable, tracking_uri
    from selkd.tracking.provenance import without_password

    uri = tracking_uri(Workspace.default().root)
    problem, shown = reachable(uri), without_password(uri)
    if problem:
        return Check(
            "mlflow", "note", f"{shown}: {problem}", "Training goes on without it; `selkd sync` delivers later."
        )
    return Check("mlflow", "ok", shown)


def ray() -> Check:
    from selkd.training.ray_entry import started

    with started(1) as ray:
        found = ray.cluster_resources()
    return Check("ray", "ok", f"{found.get('CPU', 0):.0f} CPUs, {found.get('GPU', 0):.0f} GPUs")
