"""Where a result comes from: code, versions, hardware and command. Never the environment: it may hold secrets."""

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from selkd import plugins

PACKAGES = ("selkd", "torch", "torchvision", "ray", "mlflow", "optuna", "POT", "numpy", "pandas", "scikit-learn")


def provenance() -> dict[str, Any]:
    """Git commit, versions, hardware and command line of this process."""
    return {
        "git": _git(Path(__file__)),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "versions": {name: _version(name) for name in PACKAGES} | plugins.versions(),
        "hardware": {"cpu": _cpu(), "cores": os.cpu_count(), "memory_gb": _memory(), "gpus": _gpus()},
        "command": " ".join(without_password(argument) for argument in sys.argv),
    }


def without_password(text: str) -> str:
    """`text` with user and password taken out of the addresses in it."""
    return re.sub(r"://[^/@\s]*@", "://", text)


def _git(file: Path) -> dict[str, Any] | None:
    """Commit of the working tree that holds `file`, and whether it was changed since."""
    git = ("git", "-C", str(file.parent))
    try:
        _run(*git, "ls-files", "--error-unmatch", file.name)
        commit = _run(*git, "rev-parse", "HEAD")
        dirty = _run(*git, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(dirty)}


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _gpus() -> list[str]:
    import torch

    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
