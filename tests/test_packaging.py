"""The package: its name does not hide the standard library, imports point one way, pins name no address."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "platform" / "selkd"
LAYERS = {
    "transport": set(),
    "data": set(),
    "models": set(),
    "objectives": {"transport"},
    "semantics": {"transport"},
    "selection": {"data", "transport"},
    "weighting": {"data", "selection"},
    "config": {
        *("data", "models", "objectives", "selection", "semantics", "weighting"),
        *("training.optimisers", "training.schedules"),
    },
    "tracking": {"data", "models"},
    "comparison": {"data", "models", "tracking", "transport", "config.load", "config.workspace"},
    "training": {
        *("transport", "data", "models", "objectives", "selection", "semantics", "weighting", "config", "tracking")
    },
    "reproduction": {"data", "models", "selection", "config", "tracking", "training", "recorded"},
    "promotion": {"data", "models", "config", "tracking", "recorded"},
    "sweeps": {"data", "models", "selection", "config", "tracking", "training"},
    "cluster": {"config", "tracking"},
}
EVERYWHERE = {"errors", "files", "plugins", "registry", "store"}


@pytest.mark.parametrize("folder", [".", "platform", "/"])
def test_import_platform_gives_the_standard_library(folder: str) -> None:
    code = "import platform, selkd; print(platform.python_implementation(), platform.__file__)"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT / folder, capture_output=True, text=True, check=True)
    assert found.stdout.startswith("CPython")
    assert str(ROOT) not in found.stdout


def test_the_source_root_is_no_package() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists()


def test_pins_are_exact_and_name_no_address() -> None:
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9._+]+", line), line


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "selkd":
            names = [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "selkd" else [node.module]
            found |= {name.removeprefix("selkd.") for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("selkd.") for alias in node.names if alias.name.startswith("selkd.")}
    return found


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_point_one_way(layer: str) -> None:
    allowed = LAYERS[layer] | EVERYWHERE | {layer}
    for path in (PACKAGE / layer).rglob("*.py"):
        for name in imported(path):
            assert any(name == a or name.startswith(f"{a}.") for a in allowed), (
                f"{path.relative_to(ROOT)} imports selkd.{name}"
            )


def test_ray_is_imported_in_few_places() -> None:
    found = [
        p.relative_to(PACKAGE)
        for p in PACKAGE.rglob("*.py")
        if re.search(r"^\s*(import|from) ray\b", p.read_text(), re.M)
    ]
    assert {str(p) for p in found} <= {
        "training/ray_entry.py",
        "sweeps/lookout.py",
        "sweeps/places.py",
        "sweeps/trainable.py",
        "sweeps/tuning.py",
        "cluster/ray_jobs.py",
    }


def test_tracking_alone_imports_mlflow() -> None:
    found = [
        p.relative_to(PACKAGE)
        for p in PACKAGE.rglob("*.py")
        if re.search(r"^\s*(import|from) mlflow\b", p.read_text(), re.M)
    ]
    assert {p.parts[0] for p in found} <= {"tracking"}


def test_nothing_is_unpickled() -> None:
    pattern = re.compile(
        r"pickle\.loads?\(|weights_only=False|torch\.load\((?!.*weights_only=True)|joblib|allow_pickle=True"
    )
    for path in PACKAGE.rglob("*.py"):
        assert not pattern.search(path.read_text()), path
