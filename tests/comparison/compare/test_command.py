"""`selkd compare` over an MLflow that was filled as studies fill it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from selkd.cli import show
from selkd.cli.app import app
from selkd.errors import UserError

SPACE = {"search": {"objective.name": {"choice": ["kd", "selkd"]}}, "metrics": {"validation/accuracy": "maximise"}}
BY = ["--by", "objective.name"]


@pytest.fixture
def study(store: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two objectives, six seeds, selkd 5 points better; one student fails and one goes on."""
    return filled(store, monkeypatch, SPACE)


def filled(store: Any, monkeypatch: pytest.MonkeyPatch, space: dict[str, Any]) -> Any:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    monkeypatch.setenv("SELKD_WORKSPACE", str(store.folder))
    monkeypatch.setattr(show.out, "width", 160)
    store.study("study", space)
    for seed in range(6):
        for objective, gain in (("kd", 0.0), ("selkd", 0.05 + seed / 1e3)):
            score = {"validation/accuracy": 0.8, "test/accuracy": 0.8 + gain, "cost/row_gradients": 100.0}
            store.trial("study", objective, seed, metrics=score)
    store.trial("study", "kd", 7, status="failed", reason="no memory")
    store.trial("study", "selkd", 7, status=None)
    return store


@pytest.fixture
def selkd() -> Callable[..., str]:
    def run(*arguments: str) -> str:
        found = CliRunner().invoke(app, ["compare", *arguments])
        if found.exception is not None:
            raise found.exception
        return found.stdout

    return run


def test_the_verdict_comes_first_and_what_was_left_out_last(study: Any, selkd: Callable[..., str]) -> None:
    lines = selkd("study", *BY).splitlines()
    assert lines[0].startswith("selkd is better than kd on test accuracy: +5.")
    assert "Exploratory" in lines[0]
    text = "\n".join(lines)
    for part in (
        "Contrasts",
        "Pairing: A pair shares seed.",
        "corrected (Holm) over 1 contrast",
        "training randomness",
    ):
        assert part in text
    assert any("no memory" in line for line in lines[-2:])
    assert any("still running" in line for line in lines[-2:])


def test_json_holds_the_whole_answer(study: Any, selkd: Callable[..., str]) -> None:
    found = json.loads(selkd("study", *BY, "--json"))
    assert found["contrasts"][0]["better"] == "selkd"
    assert found["question"]["by"] == "objective.name"
    assert len(found["left_out"]) == 2


def test_formats_go_to_the_terminal_or_to_a_file(study: Any, selkd: Callable[..., str], tmp_path: Path) -> None:
    printed = {name: selkd("study", *BY, "--format", name) for name in ("csv", "markdown", "latex")}
    assert printed["csv"].startswith("rank,level,n,mean")
    assert printed["markdown"].startswith("| objective.name | n |")
    assert printed["latex"].startswith(r"\begin{tabular}")
    for suffix, name in ((".csv", "csv"), (".md", "markdown"), (".tex", "latex")):
        path = tmp_path / f"table{suffix}"
        assert f"The leaderboard is in {path}" in selkd("study", *BY, "-o", str(path)).replace("\n", "")
        assert path.read_text() == printed[name]
    with pytest.raises(UserError, match=r"\.csv, \.md, \.tex, \.txt"):
        selkd("study", *BY, "-o", "table.docx")


def test_a_declared_comparison_needs_no_key_and_is_confirmatory(
    store: Any, monkeypatch: pytest.MonkeyPatch, selkd: Callable[..., str]
) -> None:
    filled(store, monkeypatch, {**SPACE, "comparison": {"by": "objective.name", "baseline": "kd", "looks": [6]}})
    said = selkd("study")
    assert "Confirmatory: look 1 of 1" in said
    assert "selkd is better than kd" in said


def test_without_a_key_what_could_be_asked_is_listed_and_torch_is_not_loaded(study: Any) -> None:
    said = run("study")
    assert said.returncode == 2
    assert "--by objective.name  (2: kd and selkd)" in said.stderr
    code = "from selkd.cli import main; main()\n"
    probe = code.replace("main()", "import sys\ntry: main()\nfinally: assert not {'torch', 'ray'} & set(sys.modules)")
    answered = run("study", *BY, code=probe)
    assert answered.returncode == 0, answered.stderr
    assert answered.stdout.startswith("selkd is better")


def run(*arguments: str, code: str = "from selkd.cli import main; main()") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, "compare", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=False, timeout=120)
