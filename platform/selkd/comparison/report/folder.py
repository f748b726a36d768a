"""The folder of a report: written beside its place, then put there whole."""

import shutil
import tempfile
from pathlib import Path

import pandas as pd

from selkd.comparison import leaderboard
from selkd.comparison.report import answers
from selkd.comparison.report.figures import figures
from selkd.comparison.report.page import GENERATOR, page
from selkd.comparison.report.table import latex, markdown
from selkd.comparison.result import Comparison
from selkd.errors import UserError
from selkd.files import cannot_write, write_bytes

PAGE = "report.html"
FOLDERS = ("figures", "tables")
"""What a report consists of beside its page."""


def write(comparison: Comparison, folder: Path) -> Path:
    """Write a comparison's page, figures and tables into `folder`, in place of those of an earlier report."""
    _refuse_others(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".report.", dir=folder))
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        (part / "figures").mkdir()
        drawn = list(figures(comparison, part))
        _tables(comparison, part / "tables")
        write_bytes(part / PAGE, page(comparison, drawn).encode())
        _put(part, folder)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder / PAGE


def _put(part: Path, folder: Path) -> None:
    """The page first: it stands alone, and it says whose folder this is."""
    (part / PAGE).replace(folder / PAGE)
    for name in FOLDERS:
        if (folder / name).exists():
            (folder / name).rename(part / f"old-{name}")
        (part / name).rename(folder / name)


def _refuse_others(folder: Path) -> None:
    """What is no report of ours stays as it is."""
    there = [name for name in (PAGE, *FOLDERS) if (folder / name).exists()]
    if folder.exists() and not folder.is_dir():
        raise UserError(f"output: {folder} is a file. Name a folder.")
    if there and not _ours(folder / PAGE):
        raise UserError(f"output: {folder / there[0]} is there and belongs to no report. Choose another folder.")


def _ours(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return f'content="{GENERATOR}' in file.read(4096)
    except OSError:
        return False


def _tables(comparison: Comparison, folder: Path) -> None:
    contrasts = answers.contrasts(comparison)
    config = comparison.records.config
    trials = comparison.trials.join(config[config.columns.difference(comparison.trials.columns, sort=False)])
    content = {
        "leaderboard.csv": comparison.to_csv(),
        "leaderboard.md": comparison.to_markdown(),
        "leaderboard.tex": comparison.to_latex(),
        "contrasts.csv": leaderboard.csv(comparison.contrasts_table()),
        "contrasts.md": markdown(contrasts),
        "contrasts.tex": latex(contrasts),
        "pairs.csv": leaderboard.csv(_plain(comparison.units)),
        "trials.csv": leaderboard.csv(_plain(trials)),
        "left-out.csv": leaderboard.csv(comparison.left_out),
    }
    for name, text in content.items():
        write_bytes(folder / name, text.encode())


def _plain(found: pd.DataFrame) -> pd.DataFrame:
    """With its index as columns."""
    named = found.reset_index()
    return named.set_axis([str(name) for name in named.columns], axis=1)
