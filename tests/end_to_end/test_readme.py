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


OBJECTIVE = """
from typing import ClassVar
import torch
from torch import Tensor
from selkd.objectives.base import Context, Objective, TeacherSettings, View, register
from selkd.objectives.kd import restrict

{example}
from selkd.config import RunConfig
config = RunConfig.model_validate({{"teacher": "t", "objective": {{"name": "mean-squares", "alpha": 2}}}})
objective = MeanSquares(config.objective, Context(torch.tensor([2, 0]), "closed", torch.ones(2)))
view = View(torch.zeros(3, 2), torch.eye(2)[[0, 1, 0]], torch.ones(3, 4), 3)
assert objective.terms(view)["teacher"].tolist() == [1, 1, 1], objective.terms(view)
assert objective.weights == {{"truth": 1.0, "teacher": 2.0}}
"""
POLICY = """
from typing import ClassVar
import torch
from torch import Tensor
from selkd.selection.samples import SAMPLES, RowEvidence, SamplePolicy
from selkd.selection.samples.base import register
from selkd.selection.samples.ranked import TeacherRankedSettings

{example}
from selkd.config import RunConfig
config = RunConfig.model_validate({{"teacher": "t", "selection": {{"samples": {{"policy": "wrongest", "keep": 0.5}}}}}})
answers = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]]).log()
rows = RowEvidence(torch.arange(4), torch.tensor([0, 1, 0, 1]), 2, 3, lambda: answers)
assert Wrongest(config.selection.samples).rates(rows, 2, 0, 0).tolist() == [0, 1, 1, 0]
"""


@pytest.mark.parametrize(("place", "script"), [(0, OBJECTIVE), (1, POLICY)], ids=["objective", "policy"])
def test_ten_lines_are_an_objective_and_ten_a_policy(tmp_path: Path, place: int, script: str) -> None:
    """CONTRIBUTING's examples register, are configured by name, and do what they say."""
    example = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)[place]
    command = [sys.executable, "-c", script.format(example=example)]
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert found.returncode == 0, found.stderr
