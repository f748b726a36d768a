"""Tables: words are shown as they are, and broken only where nothing else is left."""

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from selkd.cli import show

Shown = Callable[..., str]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """The text of a table in a terminal of this width."""

    def make(width: int, title: str, columns: list[str], *rows: list[str]) -> str:
        text = io.StringIO()
        monkeypatch.setattr(show, "out", Console(file=text, width=width, color_system=None))
        show.table(title, columns, rows)
        return text.getvalue()

    return make


def test_brackets_and_colons_are_no_markup(shown: Shown) -> None:
    text = shown(80, "title [bold]", ["column [red]"], ["[one, two]"], ["[/]"], [":smile:"])
    for words in ("title [bold]", "column [red]", "[one, two]", "[/]", ":smile:"):
        assert words in text


def test_whole_words_give_way_before_any_is_broken(shown: Shown) -> None:
    text = shown(40, "", ["study", "status", "when"], ["some long words here", "stopped", "2026-11-29 17:58"])
    assert max(map(len, text.splitlines())) <= 40
    for word in ("some", "words", "stopped", "2026-11-29", "17:58"):
        assert word in text


def test_the_longest_words_are_broken_where_a_table_is_too_wide(shown: Shown) -> None:
    text = shown(40, "", ["study", "status", "best"], ["a-very-long-name-of-a-study", "stopped", "validation/accuracy"])
    assert max(map(len, text.splitlines())) <= 40
    assert "stopped" in text and "a-very-long-name-of-a-study" not in text
