"""What is printed and written: numbers as they are, names as they are, and nothing that acts."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from selkd.cli import show
from selkd.cli.compare import print_comparison
from selkd.comparison.compare import Question, answer
from selkd.comparison.records import Records
from selkd.comparison.result import Comparison

Made = Callable[..., Records]
NAMES = ["<script>alert(1)</script>", "[bold]x[/bold]|*y*", 'a "b" \'c\'', "שלום", "🦊", "=1+cmd()", "100%_&$#{}\\^~",
         "turn\u202eover", "line\nbreak\x1b[31m"]  # fmt: skip


def named(records: Made, names: list[str], metric: str = "accuracy") -> Comparison:
    rows: list[dict[str, Any]] = [
        {"task.categories": (name, "other"), "objective.name": name, "seed": seed, f"test/{metric}": 0.9 - place / 100,
         f"validation/{metric}": 0.9, "origin.git.commit": "abc"}
        for place, name in enumerate(names) for seed in range(6)
    ]  # fmt: skip
    for row in rows:
        del row["task.categories"]
    return answer(records(rows), Question("objective.name", metric))


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Comparison], str]:
    def told(comparison: Comparison, width: int = 400) -> str:
        console = Console(file=io.StringIO(), width=width, force_terminal=False)
        monkeypatch.setattr(show, "out", console)
        print_comparison(comparison)
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    return told


def test_every_name_is_shown_in_the_terminal_and_none_acts(records: Made, printed: Callable[..., str]) -> None:
    said = printed(named(records, NAMES))
    for name in NAMES[:-2]:
        assert name in said
    assert "turn\\u202eover" in said
    assert "line\\nbreak\\x1b[31m" in said
    assert "\x1b" not in said
    assert "\u202e" not in said


def test_a_table_of_each_group_breaks_no_word_and_counts_what_has_no_pair(
    records: Made, printed: Callable[..., str]
) -> None:
    rows = [
        {"objective.name": name, "data.rows_per_category": count, "teacher": teacher, "seed": seed,
         "test/accuracy": 0.9 - place / 100 + seed / 1e4, "validation/accuracy": 0.9}
        for count, teacher in ((500, "wide"), (20, "wide"), (100, "resnet-152-large"))
        for place, name in enumerate(("cross-entropy", "virtual-softmax", "selkd"))
        for seed in range(4) if (count, name) != (100, "selkd")
    ]  # fmt: skip
    said = printed(answer(records(rows), Question("objective.name", "accuracy")), 100)
    assert max(len(line) for line in said.splitlines() if line[:1] in "┏┃┡│└") <= 100
    for word in ("cross-entropy", "virtual-softmax", "objective.name", "validation", "(points)", "rows_per_category"):
        assert word in said
    titles = [line for line in said.splitlines() if line.startswith("rows_per_category")]
    assert [title.split()[1].rstrip(",") for title in titles] == ["20", "100", "500"]
    assert "Contrasts, over all groups" in said
    assert "2 contrasts not shown" in said
    assert "90.0 ± 0.0" in said
    assert "data.rows_per_category=" not in said[said.index("\n") : said.index("Pairing")]


def test_markdown_escapes_markup(records: Made) -> None:
    page = named(records, NAMES).to_markdown()
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert r"\[bold\]x\[/bold\]\|\*y\*" in page
    assert "שלום" in page
    assert "🦊" in page
    widths = {len(line.replace(r"\|", "").split("|")) for line in page.splitlines() if line.startswith("|")}
    assert len(widths) == 1


def test_latex_escapes_what_tex_would_read(records: Made) -> None:
    table = named(records, NAMES).to_latex()
    assert r"100\%\_\&\$\#\{\}\textbackslash{}\textasciicircum{}\textasciitilde{}" in table
    assert r"\textless{}script\textgreater{}" in table
    assert table.count(r"\\" + "\n") == len(NAMES) + 1


def test_a_spreadsheet_takes_no_name_for_a_formula(records: Made) -> None:
    text = named(records, NAMES).to_csv()
    levels = [row["level"] for row in csv.DictReader(io.StringIO(text))]
    assert "'=1+cmd()" in levels
    assert "<script>alert(1)</script>" in levels
    assert not any(level.startswith("=") for level in levels)


def test_csv_and_json_hold_the_numbers_in_full(records: Made) -> None:
    found = named(records, ["a", "b"])
    read = pd.read_csv(io.StringIO(found.to_csv()))
    assert list(read["mean"]) == list(found.levels["mean"])
    told = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert told["verdict"] == found.verdict
    assert told["levels"][0]["mean"] == found.levels["mean"][0]
    assert told["contrasts"][0]["better"] == "a"
    assert [unit["seed"] for unit in told["units"]] == [str(seed) for seed in range(6)]


def test_the_best_is_bold_and_stars_stand_at_what_is_told_from_it(records: Made) -> None:
    found = named(records, ["a", "b"])
    assert "| **a** | 6 | **90.0 ± 0.0** |" in found.to_markdown()
    assert r"| b | 6 | 89.0 ± 0.0\* |" in found.to_markdown()
    assert r"\textbf{a} & 6 & \textbf{90.0 $\pm$ 0.0}" in found.to_latex()
    assert r"b & 6 & 89.0 $\pm$ 0.0$^{*}$" in found.to_latex()


def test_a_metric_of_a_category_is_named_after_it(records: Made, printed: Callable[..., str]) -> None:
    found = named(records, ["a", "b"], metric=f"accuracy/{NAMES[0]}")
    assert f"test accuracy of {NAMES[0]}" in found.verdict
    assert "<script>" not in found.to_markdown()
    assert NAMES[0] in printed(found)


def test_subsets_are_levels_by_their_names(records: Made) -> None:
    rows = [
        {"task.categories": (name,), "categories": "same", "seed": seed, "test/accuracy": 0.9,
         "validation/accuracy": 0.9}
        for name in NAMES for seed in range(2)
    ]  # fmt: skip
    found = answer(records(rows), Question("task.categories", "accuracy"))
    assert "[<script>alert(1)</script>]" in set(found.levels["level"])
    assert len(found.levels) == len(NAMES)
