"""Long work is seen: bars in a terminal, now and then a line elsewhere, nothing beside JSON."""

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from selkd.cli import show
from selkd.data.progress import tell


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], io.StringIO]:
    """Replaces standard error by a terminal or a file."""

    def make(terminal: bool) -> io.StringIO:
        text = io.StringIO()
        monkeypatch.setattr(show, "err", Console(file=text, force_terminal=terminal, width=120, color_system=None))
        return text

    return make


def test_a_file_gets_lines_in_plain_words(
    console: Callable[[bool], io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = console(False)
    monkeypatch.setattr(show, "PAUSE", 0.0)
    with show.progress("student"):
        tell("teacher, train", 3_000, 10_000)
    with show.images():
        tell("photos [old], train", 4, 5)
    with show.downloads() as hear:
        hear("archive.tar.gz", 1_000, None)
    assert text.getvalue().splitlines() == [
        "teacher, train: 3,000 of 10,000 images",
        "photos [old], train: 4 of 5 images",
        "archive.tar.gz: 1,000 bytes",
    ]


def test_short_work_is_not_mentioned(console: Callable[[bool], io.StringIO]) -> None:
    text = console(False)
    with show.progress("student"):
        tell("teacher, train", 10, 10)
    assert text.getvalue() == ""


@pytest.mark.parametrize("kind", [lambda: show.progress("student"), show.images])
def test_a_terminal_gets_a_bar_until_the_work_is_done(console: Callable[[bool], io.StringIO], kind: Callable) -> None:
    text = console(True)
    with kind():
        tell("photos [old], train", 3000, 10000)
    assert "photos [old], train" in text.getvalue()
    assert "3000/10000" in text.getvalue()
    text = console(True)
    with kind():
        tell("photos", 9, 10)
        tell("photos", 10, 10)
    assert "photos" not in text.getvalue().splitlines()[-1]


def test_a_terminal_gets_a_bar_for_a_download_of_unknown_size(console: Callable[[bool], io.StringIO]) -> None:
    text = console(True)
    with show.downloads() as hear:
        hear("archive.tar.gz", 2_000_000, None)
    assert "archive.tar.gz" in text.getvalue()
    assert "2.0" in text.getvalue()


@pytest.mark.parametrize("quiet", [lambda: show.progress("student", quiet=True), lambda: show.images(quiet=True)])
def test_beside_json_nothing_is_said(
    console: Callable[[bool], io.StringIO], quiet: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = console(False)
    monkeypatch.setattr(show, "PAUSE", 0.0)
    with quiet():
        tell("teacher, train", 1, 2)
    assert text.getvalue() == ""
