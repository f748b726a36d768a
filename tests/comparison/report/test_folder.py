"""The folder of a report: whole, its own, and nobody else's."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from selkd.comparison.compare import Comparison
from selkd.comparison.records import Records
from selkd.comparison.report import figures, folder_name, write
from selkd.comparison.report.asking import question_of
from selkd.comparison.views.levels import LEVELS
from selkd.comparison.views.ranks import RANKS
from selkd.errors import CannotWrite, UserError


@pytest.fixture(autouse=True)
def few_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that can be drawn of two levels, and one that cannot."""
    monkeypatch.setattr(figures, "VIEWS", (LEVELS, RANKS))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_figures_and_tables_lie_beside_the_page(compared: Callable[..., Comparison], tmp_path: Path) -> None:
    page = write(compared(), tmp_path / "report")
    names = set(tree(tmp_path / "report"))
    assert page == tmp_path / "report" / "report.html"
    assert {"report.html", "figures/levels.pdf", "figures/levels.png", "tables/figure-levels.csv"} <= names
    for table in ("leaderboard", "contrasts"):
        assert {f"tables/{table}.{kind}" for kind in ("csv", "md", "tex")} <= names
    assert len(pd.read_csv(tmp_path / "report" / "tables" / "trials.csv")) == 12


def test_a_view_that_cannot_be_made_says_why(compared: Callable[..., Comparison], tmp_path: Path) -> None:
    text = write(compared(), tmp_path / "report").read_text()
    ranks = text[text.index('id="figure-ranks"') :]
    assert "Not shown: " in ranks[: ranks.index("</figure>")]
    assert "<img" not in ranks


def test_an_earlier_report_is_replaced_whole(compared: Callable[..., Comparison], tmp_path: Path) -> None:
    folder = tmp_path / "report"
    write(compared(("a", "b", "c")), folder)
    (folder / "figures" / "stale.png").write_bytes(b"old")
    write(compared(), folder)
    write(compared(), tmp_path / "fresh")
    assert tree(folder) == tree(tmp_path / "fresh")
    assert {path.name for path in folder.iterdir()} == {"report.html", "figures", "tables"}


def test_files_of_others_are_kept(compared: Callable[..., Comparison], tmp_path: Path) -> None:
    (tmp_path / "paper.tex").write_text("mine")
    write(compared(), tmp_path)
    write(compared(), tmp_path)
    assert (tmp_path / "paper.tex").read_text() == "mine"


@pytest.mark.parametrize("name", ["figures/mine.png", "tables/mine.csv", "report.html"])
def test_what_is_no_report_is_refused_and_kept(name: str, compared: Callable[..., Comparison], tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match=r"belongs to no report\. Choose another folder"):
        write(compared(), tmp_path)
    assert tree(tmp_path) == {name: b"mine"}


def test_a_file_in_its_place_is_named(compared: Callable[..., Comparison], tmp_path: Path) -> None:
    (tmp_path / "report").write_text("mine")
    with pytest.raises(UserError, match=r"is a file\. Name a folder"):
        write(compared(), tmp_path / "report")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system on which no report has room."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=65536", "tmpfs", folder], check=False).returncode:
        pytest.skip("this machine does not let us mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_leaves_what_was_there(compared: Callable[..., Comparison], small: Path) -> None:
    (small / "report").mkdir()
    (small / "report" / "report.html").write_text('<meta name="generator" content="selkd report 0.1.0">')
    before = tree(small)
    with pytest.raises(CannotWrite, match="Free space or choose a writable folder"):
        write(compared(), small / "report")
    assert tree(small) == before
    assert [path.name for path in (small / "report").iterdir()] == ["report.html"]


def test_a_folder_that_cannot_be_written_is_named(compared: Callable[..., Comparison]) -> None:
    place = Path("/proc/selkd-report") if os.name == "posix" else Path("Z:/none")
    with pytest.raises(CannotWrite, match="selkd-report"):
        write(compared(), place)


def test_the_question_is_the_declared_one(records: Callable[..., Records]) -> None:
    declared = records(("kd", "selkd"), comparison={"by": "objective.name", "metric": "accuracy"})
    assert question_of(declared, None).by == "objective.name"
    assert question_of(declared, "task.mode").by == "task.mode"


def test_without_a_question_the_error_lists_what_varies(records: Callable[..., Records]) -> None:
    with pytest.raises(UserError, match=r"objective\.name \(kd and selkd\).*--by objective\.name"):
        question_of(records(("kd", "selkd")), None)


@pytest.mark.parametrize("names", [["../../etc"], ["a/b"], [""], ["."], ["x" * 300], ["<b>"]])
def test_a_folder_is_named_after_studies_whatever_they_are_called(names: list[str]) -> None:
    found = folder_name(names)
    assert Path(found).name == found
    assert not found.startswith(".")
    assert 0 < len(found) < 100


def test_studies_of_different_names_have_different_folders() -> None:
    names = [["a/b"], ["a-b"], ["a", "b"], ["a?b"]]
    assert len({folder_name(name) for name in names}) == len(names)
