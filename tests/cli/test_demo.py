"""The demonstration's face: tables that fit a terminal, progress that says what was done and what was there before."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from selkd import demo as library
from selkd.cli import demo, show
from selkd.config import RunConfig
from selkd.training.loop import Epoch


def console(monkeypatch: pytest.MonkeyPatch, stream: str) -> io.StringIO:
    text = io.StringIO()
    monkeypatch.setattr(show, stream, Console(file=text, width=80))
    return text


@pytest.mark.parametrize("mode", library.COMPARED)
def test_tables_fit_80_columns_with_the_widest_numbers(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = console(monkeypatch, "out")
    metrics = library.COMPARED[mode]
    rows = [library.Row(name, dict.fromkeys(metrics, (1.0, 0.1))) for name in ("teacher", "cross-entropy")]
    demo._print_table(metrics, rows)
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    for row in rows:
        [line] = [line for line in lines if row.name in line]
        assert line.count(" ± ") == len(metrics)
    assert all(demo.COLUMNS[name] in text.getvalue() for name in metrics)


def test_configurations_that_a_user_changed_are_kept(tmp_path: Path) -> None:
    (tmp_path / "open-selkd.yaml").write_text("name: mine\n")
    library.write_configurations(tmp_path)
    assert (tmp_path / "open-selkd.yaml").read_text() == "name: mine\n"
    for name, content in library.configurations().items():
        if name != "open-selkd":
            assert RunConfig.read(tmp_path / f"{name}.yaml") == RunConfig.of(content)


def test_a_run_that_was_finished_before_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    text = console(monkeypatch, "err")
    with demo._progress(2, quiet=False) as progress:
        hear = progress.start("teacher")
        hear(Epoch(1, 2, 10, {}))
        hear(Epoch(2, 2, 20, {}))
        progress.recorded()
        progress.start("student")
        progress.recorded()
    assert text.getvalue().splitlines() == [
        "[1 of 2] teacher: trained, recording",
        "[2 of 2] student: finished before",
    ]
    assert progress.trained == 1


def test_beside_json_there_is_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    text = console(monkeypatch, "err")
    with demo._progress(1, quiet=True) as progress:
        progress.start("teacher")(Epoch(1, 1, 10, {}))
        progress.recorded()
    assert text.getvalue() == ""
