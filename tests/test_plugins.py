"""Components of a package that is not ours: docs/extending.md, installed as pip would."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from selkd import plugins
from selkd.errors import UserError

PAGE = (Path(__file__).parent.parent / "docs" / "extending.md").read_text()
MODULE = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
PROJECT = tomllib.loads(re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)[0])["project"]

VALUES = """
import torch
from selkd.config import RunConfig
from selkd.models import build
from selkd.objectives import Context, View, find
from selkd.selection import CATEGORIES, SAMPLES, TEACHERS, CategoryEvidence, RowEvidence, TeacherEvidence
from selkd.selection.teachers import About
from selkd.semantics import SEMANTICS, Labels
from selkd.weighting import WEIGHTINGS, Moment

config = RunConfig.model_validate({
    "teacher": "t", "student": {"model": "perceptron"}, "objective": {"name": "mean-squares", "alpha": 2},
    "selection": {"categories": {"policy": "rarest", "size": 2, "never": ["a"]},
                  "samples": {"policy": "wrongest", "keep": 0.5}},
    "weighting": "curious",
})
objective = find("mean-squares")(config.objective, Context(torch.tensor([2, 0]), "closed", torch.ones(2)))
terms = objective.terms(View(torch.zeros(3, 2), torch.eye(2)[[0, 1, 0]], torch.ones(3, 4), 3))
assert terms["teacher"].tolist() == [1, 1, 1] and objective.weights == {"truth": 1.0, "teacher": 2.0}

answers = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]]).log()
rows = RowEvidence(torch.arange(4), torch.tensor([0, 1, 0, 1]), 2, 3, lambda: answers)
assert SAMPLES["wrongest"](config.selection.samples).rates(rows, 2, 0, 0).tolist() == [0, 1, 1, 0]

policy = CATEGORIES["rarest"](config.selection.categories)
assert policy.choose(CategoryEvidence(tuple("abcd"), {}, (1, 2, 9, 3), ()), 0).categories == ("b", "d")

weighting = WEIGHTINGS["curious"](config.weighting, rows, 0)
moment = Moment(torch.zeros(1, 4), torch.zeros(1, 4), torch.eye(4)[:1], torch.zeros(1), 0, 0.0)
assert weighting.ratio(moment).tolist() == [0.75]

crossing = RunConfig.model_validate({
    "objective": "transport", "semantics": "initials", "selection": {"teachers": {"policy": "broadest", "number": 1}}
})
cards = {"few": About(("x",), 0.9), "many": About(("x", "y"), 0.5)}
assert TEACHERS["broadest"](crossing.selection.teachers).choose(TeacherEvidence(None, cards), 0).shares == {"many": 1}
costs = SEMANTICS["initials"](crossing.semantics).costs(Labels("t", ("cat", "dog"), ("cow",)))
assert costs.between.tolist() == [[0], [1]]
assert build("perceptron", channels=1, outputs=3, image_size=8)(torch.zeros(2, 1, 8, 8)).shape == (2, 3)
"""

STUDENTS = """
import json, selkd

base = {"data": {"source": "digits"}, "student": {"model": "perceptron"}, "training": {"epochs": 1}}
selkd.teach({**base, "name": "all"})
own = selkd.train({**base, "name": "own", "teacher": "all", "objective": "mean-squares", "weighting": "curious",
    "selection": {"categories": {"policy": "rarest", "size": 3}, "samples": {"policy": "wrongest", "keep": 0.5}}})
other = selkd.train({**base, "name": "other", "task": {"categories": ["three", "five"]}, "objective": "transport",
    "semantics": "initials", "selection": {"teachers": "broadest"}})
for student in (own, other):
    [begin] = [e for e in map(json.loads, (student.folder / "ledger.jsonl").read_text().splitlines())
               if "provenance" in e]
    chosen = json.loads((student.folder / "selection.json").read_text())
    print(json.dumps([begin["provenance"]["versions"]["mine"], chosen, student.metrics["test/accuracy"]]))
"""


def installed(folder: Path, module: str) -> Path:
    """What `pip install` leaves of the page's package, with this module."""
    (folder / "mine.py").write_text(module)
    about = folder / "mine-0.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PROJECT['name']}\nVersion: {PROJECT['version']}\n")
    lines = [f"[{group}]\n{name} = {where}\n" for group, points in PROJECT["entry-points"].items()
             for name, where in points.items()]  # fmt: skip
    (about / "entry_points.txt").write_text("".join(lines))
    return folder


def ran(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder), "SELKD_WORKSPACE": str(folder / "workspace")}
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, cwd=folder, env=environment, check=False
    )


def test_each_component_of_the_page_does_what_it_says(tmp_path: Path) -> None:
    found = ran(installed(tmp_path, MODULE), "-c", VALUES)
    assert found.returncode == 0, found.stderr


@pytest.mark.slow
def test_students_learn_by_components_of_another_package(tmp_path: Path) -> None:
    found = ran(installed(tmp_path, MODULE), "-c", STUDENTS)
    assert found.returncode == 0, found.stderr
    own, other = map(json.loads, found.stdout.splitlines()[-2:])
    assert own[0] == other[0] == "0.1"
    assert (own[1]["categories"]["settings"]["policy"], own[1]["samples"]["settings"]["policy"]) == (
        "rarest",
        "wrongest",
    )
    assert other[1]["teachers"]["settings"]["policy"] == "broadest"
    assert 0 <= own[2] <= 1 and 0 <= other[2] <= 1


@pytest.mark.slow
def test_a_broken_plug_in_is_one_error_that_names_its_package(tmp_path: Path) -> None:
    installed(tmp_path, "import nothing_of_this_name")
    found = ran(tmp_path, "-m", "selkd", "train", "objective=cross-entropy")
    assert found.returncode == 2, found.stderr
    assert "'mine' of mine" in found.stderr and "No module named 'nothing_of_this_name'" in found.stderr
    assert "pip uninstall mine" in found.stderr and "Traceback" not in found.stderr


KD = """
from selkd.objectives.base import Objective, register
@register
class Mine(Objective):
    name = "kd"
"""
CNN = "from selkd.models.registry import family\nfamily(['cnn'])(print)"


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (KD, "of mine cannot be used: mine.Mine: the objective 'kd' is there already. Mend it, or: pip uninstall mine"),
        (CNN, "the architecture 'cnn' is there already"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_what_a_plug_in_does_wrong_is_told(
    tmp_path: Path, module: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(installed(tmp_path, module))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    with pytest.raises(UserError, match=reason):
        plugins.load.__wrapped__()
