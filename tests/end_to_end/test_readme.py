"""The README's commands, typed in order in an empty folder, as a stranger would; only the training is shortened."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from selkd.config import Workspace

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SHORTER = ["training.epochs=1", "data.rows_per_category=4", "training.batch_size=4", "student.model=cnn"]
SMALLER = ["base.training.epochs=1", "budget.seeds=1", "budget.candidates=2"]
DEMO = f"""
from selkd import demo
from selkd.cli import main
from selkd.sweeps.ready import path_of
from selkd.sweeps.space import SearchSpace

demo.spaces = lambda: [SearchSpace.read(path_of(name), {SMALLER} + ["budget.seeds=2"]) for name in demo.STUDIES]
main()
"""
PATIENT = {"ui", "doctor", "cluster"}  # servers, and what the machine decides: tested elsewhere


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> Iterator[list[str]]:
    for block in blocks("sh"):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0] == "selkd":
                yield words[1:]


@pytest.fixture
def folder(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with photos by category, and the README's files."""
    for category in ("cat", "dog", "horse", "plane", "ship"):
        (tmp_path / "photos" / category).mkdir(parents=True)
        for index in range(12):
            pixels = np.random.default_rng([index, len(category)]).integers(0, 256, (40, 36, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / category / f"{index}.png")
    for block in blocks("yaml"):
        name = re.match(r"# (\S+\.yaml)", block)
        assert name, "a YAML block of the README begins with its file's name"
        (tmp_path / name[1]).write_text(block)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shortened(words: list[str]) -> list[str]:
    """What makes a command of the README quick."""
    if words[0] == "sweep":
        return SMALLER[-1:] if "--resume" in words else [*SMALLER, "concurrent=1"]
    if words[0] == "submit":
        return ["what=[doctor, --quick]"]
    if words[0] in ("train", "teach"):
        return SHORTER if "photos" in Path(words[1]).read_text() else SHORTER[:1]
    return []


def test_the_readmes_commands_work(selkd: Any, folder: Path) -> None:
    selkd.environment["SELKD_WORKSPACE"] = ".selkd"
    shown = subprocess.run(
        [sys.executable, "-c", DEMO, "demo"], env=selkd.environment, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr
    assert "8 students of 2 studies" in shown.stdout
    tried = set()
    for words in commands():
        if words[0] in PATIENT or {"--import", "--extend"} & {*words}:  # luck says how many seeds an extension takes
            continue
        code, _, err = selkd.run(*words, *shortened(words))
        assert code == 0, f"selkd {shlex.join(words)}: {err}"
        tried.add(words[0])
    assert tried >= {"train", "sweep", "study", "compare", "report", "submit", "jobs"}
    assert tried >= {"teach", "export", "reproduce", "promote", "predict"}
    assert (folder / "student.pt2").stat().st_size > 0
    assert len((folder / "answers.csv").read_text().splitlines()) == 61


def test_the_readmes_python_runs(folder: Path) -> None:
    for block in blocks("python"):
        exec(block, {})


def test_pages_that_the_readme_names_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
