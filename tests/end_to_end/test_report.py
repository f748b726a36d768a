"""Students of two objectives, and the report of them that the command writes."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import selkd as library
from selkd.config import Workspace

pytestmark = pytest.mark.slow
CONFIG: dict[str, Any] = {
    "name": "objectives",
    "experiment": "objectives",
    "data": {"rows_per_category": 10},
    "task": {"categories": ["three", "five", "eight"], "mode": "open"},
    "teacher": "teacher",
    "student": {"model": "mlp", "hidden": [8]},
    "training": {"epochs": 2, "batch_size": 20},
    "workers": {"device": "cpu"},
}
FROM_FILES = ("curves", "losses", "open-set", "plans", "flips")
"""Views that need what students left behind."""


def test_students_become_a_page_with_figures_and_tables(workspace: Workspace, selkd: Any, tmp_path: Path) -> None:
    for objective in ("kd", "selkd"):
        for seed in range(2):
            library.train({**CONFIG, "objective": {"name": objective}, "seed": seed}, workspace)

    code, _, err = selkd.here("report", "objectives", "--output", tmp_path / "report")
    assert code == 2
    assert "--by objective.name  (2: kd and selkd)" in err
    assert not (tmp_path / "report").exists()

    code, out, err = selkd.run(
        "report", "objectives", "--by", "objective.name", "--output", tmp_path / "report", "--json"
    )
    assert code == 0, err
    page = Path(json.loads(out)["page"])
    assert page == tmp_path / "report" / "report.html"
    text = page.read_text()
    for view in FROM_FILES:
        figure = text[text.index(f'id="figure-{view}"') :].partition("</figure>")[0]
        assert "Not shown" not in figure, view
        assert len(pd.read_csv(tmp_path / "report" / "tables" / f"figure-{view}.csv")) > 1
        assert (tmp_path / "report" / "figures" / f"{view}.pdf").read_bytes().startswith(b"%PDF")
    trials = pd.read_csv(tmp_path / "report" / "tables" / "trials.csv")
    assert sorted(zip(trials["level"], trials["seed"], strict=True)) == [
        ("kd", 0), ("kd", 1), ("selkd", 0), ("selkd", 1)
    ]  # fmt: skip

    before = page.read_bytes()
    again = library.report("objectives", "objective.name", workspace=workspace, output=tmp_path / "again")
    assert again.read_bytes() == before
