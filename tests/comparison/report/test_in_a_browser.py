"""The page as a reader meets it, in headless Chromium."""

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from selkd.comparison.compare import Comparison
from selkd.comparison.report import write

pytestmark = pytest.mark.slow
WIDTHS = (360, 1280)
OUTSIDE = """
[...document.body.querySelectorAll("*")].filter((one) => {
  if (one.closest(".scroll, .paper, .unseen, .skip, svg, script")) return false;
  const box = one.getBoundingClientRect();
  return box.width > 0 && (box.right > document.documentElement.clientWidth + 1 || box.left < -1);
}).map((one) => one.outerHTML.slice(0, 80))
"""
FAINT = """
(() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = parts(colour).map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const found = parts(getComputedStyle(at).backgroundColor);
      if (found.length < 4 || found[3] > 0) return getComputedStyle(at).backgroundColor;
    }
  };
  return [...document.body.querySelectorAll("*")].filter((one) => {
    if (one.closest("svg, script") || ![...one.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) return false;
    const [a, b] = [light(getComputedStyle(one).color), light(behind(one))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05) < 4.5;
  }).map((one) => one.outerHTML.slice(0, 80));
})()
"""
FOCUSED = "document.activeElement.outerHTML.slice(0, 60)"


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("report", ["plain", "attacked"])
def test_it_asks_for_nothing_and_the_browser_complains_of_nothing(
    report: str, width: int, page: Any, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(report)
    page.open(path, width)
    page.ask("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.complaints == []
    assert [url for url in page.requests if not url.startswith("data:")] == [path.as_uri()]


def test_a_request_or_a_foreign_program_would_be_refused(plain: Path, page: Any, tmp_path: Path) -> None:
    changed = plain.read_text().replace(
        "</main>", "<script>window.pwned=5</script><img src='http://127.0.0.1:9/x'></main>"
    )
    (tmp_path / "changed.html").write_text(changed)
    page.open(tmp_path / "changed.html")
    assert page.ask("window.pwned") is None
    assert len([one for one in page.complaints if "Content Security Policy" in str(one)]) >= 2


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("report", ["plain", "attacked"])
def test_nothing_runs_out_of_the_window(report: str, width: int, page: Any, request: pytest.FixtureRequest) -> None:
    page.open(request.getfixturevalue(report), width)
    page.ask("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.ask("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    assert page.ask(OUTSIDE) == []


def test_what_is_wider_than_a_phone_can_be_scrolled_by_keyboard(plain: Path, page: Any) -> None:
    page.open(plain, 360)
    unreachable = """[...document.querySelectorAll('.scroll, .paper')]
        .filter((one) => one.scrollWidth > one.clientWidth + 1 && (one.tabIndex !== 0 ||
          !(one.getAttribute('aria-label') || one.getAttribute('aria-labelledby')))).length"""
    assert page.ask("document.querySelector('.scroll').scrollWidth") > 360
    assert page.ask(unreachable) == 0


def test_hostile_names_are_shown_and_execute_nothing(attacked: Path, page: Any, hostile: tuple[str, ...]) -> None:
    page.open(attacked)
    for selector in ("#leaderboard tbody tr", "#figure-levels .strip", ".toggles button", "#trials tbody tr"):
        page.point(selector)
    page.click(".toggles button")
    shown = page.ask("document.body.innerText")
    for name in (*hostile[:4], "🦊 {{ 7*7 }} \\u202egnp.exe"):
        assert name in shown
    assert page.ask("window.pwned") is None
    assert page.ask("[...document.links].filter((one) => !one.hash).length") == 0
    assert page.ask("document.querySelectorAll('bdi').length") > 0


def order(page: Any, table: str, column: int) -> list[str]:
    return page.ask(
        f"[...document.querySelectorAll('#{table} tbody tr')].map((row) => row.cells[{column}].textContent.trim())"
    )


def test_a_click_on_a_heading_sorts_and_another_turns_it_round(plain: Path, page: Any) -> None:
    page.open(plain)
    heads = page.ask("[...document.querySelectorAll('#trials thead th')].map((one) => one.textContent)")
    column = next(place for place, name in enumerate(heads) if "accuracy" in name)
    for direction in ("ascending", "descending"):
        page.click(f"#trials thead th:nth-child({column + 1}) button")
        values = [float(value) for value in order(page, "trials", column)]
        assert values == sorted(values, reverse=direction == "descending")
        assert page.ask(f"document.querySelector('#trials th:nth-child({column + 1})').ariaSort") == direction
        assert direction in page.ask("document.getElementById('heard').textContent")
    assert page.ask("document.querySelectorAll('#trials th[aria-sort]').length") == 1


def test_a_table_is_sorted_by_keyboard(plain: Path, page: Any) -> None:
    page.open(plain)
    page.ask("document.querySelector('#leaderboard thead th:nth-child(2) button').focus()")
    page.press("Enter")
    assert order(page, "leaderboard", 1) == sorted(order(page, "leaderboard", 1))
    page.press(" ")
    assert order(page, "leaderboard", 1) == sorted(order(page, "leaderboard", 1), reverse=True)


@pytest.mark.parametrize("table", ["leaderboard", "trials"])
def test_typing_filters_the_rows_and_says_how_many_are_left(table: str, plain: Path, page: Any) -> None:
    page.open(plain)
    page.click(f"#filter-{table}")
    page.type("selkd OPEN")
    seen = f"[...document.querySelectorAll('#{table} tbody tr')].filter((row) => row.checkVisibility())"
    texts = page.ask(f"{seen}.map((row) => row.textContent)")
    assert texts
    assert all("selkd" in text and "open" in text for text in texts)
    assert page.ask(f"document.querySelector('[for=filter-{table}]:is(output)').textContent").startswith(
        f"{len(texts)} of "
    )
    page.press("Escape")
    assert page.ask(f"{seen}.length") == page.ask(f"document.querySelectorAll('#{table} tbody tr').length")


def test_tab_goes_down_the_page_and_never_out_of_sight(plain: Path, page: Any) -> None:
    page.open(plain)
    page.press("Tab")
    assert "skip" in page.ask(FOCUSED)
    last, seen = -1, set()
    for _ in range(400):
        page.press("Tab")
        place = page.ask("[...document.querySelectorAll('*')].indexOf(document.activeElement)")
        if page.ask("document.activeElement === document.body"):
            break
        assert place > last, page.ask(FOCUSED)
        assert page.ask("document.activeElement.checkVisibility()")
        assert page.ask("getComputedStyle(document.activeElement).outlineStyle") != "none", page.ask(FOCUSED)
        seen.add(page.ask("document.activeElement.tagName"))
        last = place
    assert {"A", "BUTTON", "INPUT", "SUMMARY", "DIV"} <= seen


def test_every_figure_has_a_name_and_words_for_who_cannot_see_it(plain: Path, page: Any) -> None:
    page.open(plain)
    assert page.ask("document.querySelectorAll('figure').length") > 5
    nameless = """[...document.querySelectorAll('figure')].filter((one) =>
        !document.getElementById(one.getAttribute('aria-labelledby')).textContent.trim()).length"""
    wordless = """[...document.querySelectorAll('figure')].filter((one) => !one.querySelector('.note:not(details *)') &&
        (one.querySelector('figcaption').textContent.length < 40 || !one.querySelector('details table'))).length"""
    assert page.ask(nameless) == 0
    assert page.ask(wordless) == 0
    assert page.ask("[...document.images].filter((one) => one.alt.length < 40 || !one.naturalWidth).length") == 0


def test_a_level_is_switched_off_and_on(plain: Path, page: Any) -> None:
    page.open(plain)
    button = "#figure-curves .toggles button"
    line = "document.querySelector('#figure-curves g[data-level=\"0\"]')"
    shown = f"getComputedStyle({line}).display !== 'none'"
    assert page.ask(f"document.querySelector('{button}').ariaPressed") == "true"
    page.click(button)
    assert page.ask(f"document.querySelector('{button}').ariaPressed") == "false"
    assert page.ask(shown) is False
    page.press(" ")
    assert page.ask(f"document.querySelector('{button}').ariaPressed") == "true"
    assert page.ask(shown) is True


def test_figures_say_their_values_to_pointer_and_keys(plain: Path, page: Any) -> None:
    page.open(plain)
    said = "document.querySelector('#figure-{} .said').textContent"
    page.point("#figure-levels .dot")
    assert re.search(r"seed \d+: \d\d\.\d", page.ask(said.format("levels")))
    page.ask("document.querySelector('#figure-curves .ask').focus()")
    page.press("ArrowRight", 2)
    assert page.ask(said.format("curves")).startswith("Epoch 2: ")
    page.press("End")
    assert all(level in page.ask(said.format("curves")) for level in ("Epoch 5", "selkd", "kd", "cross-entropy"))
    page.press("Escape")
    assert page.ask(said.format("curves")) == ""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(scheme: str, plain: Path, page: Any) -> None:
    page.open(plain, **{"color-scheme": scheme})
    assert page.ask("matchMedia('(prefers-color-scheme: dark)').matches") is (scheme == "dark")
    assert page.ask(FAINT) == []


def test_on_paper_there_are_no_controls_and_nothing_is_cut(plain: Path, page: Any) -> None:
    page.open(plain, 720, media="print")
    controls = "nav, .filter, .toggles, details.numbers, .said"
    assert page.ask(f"[...document.querySelectorAll('{controls}')].filter((o) => o.checkVisibility()).length") == 0
    assert page.ask("document.documentElement.scrollWidth") <= 720
    assert page.call("Page.printToPDF")["data"]


def test_headings_landmarks_and_tables_are_marked_as_what_they_are(plain: Path, page: Any) -> None:
    page.open(plain)
    levels = page.ask("[...document.querySelectorAll('h1, h2, h3, h4')].map((one) => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    for landmark in ("header", "main", "nav[aria-label]", "footer"):
        assert page.ask(f"document.querySelectorAll('{landmark}').length") == 1
    assert page.ask("document.documentElement.lang") == "en"
    assert "objective.name" in page.ask("document.title")
    assert page.ask("[...document.querySelectorAll('table')].filter((t) => !t.caption.textContent.trim()).length") == 0
    assert page.ask("document.querySelectorAll('th:not([scope])').length") == 0
    ids = page.ask("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(ids) == len(set(ids))


def test_the_verdict_stands_before_all_tables(plain: Path, page: Any) -> None:
    page.open(plain, 360)
    assert page.ask("document.querySelector('.lead').getBoundingClientRect().top") < 800
    assert "exploratory" in page.ask("document.querySelector('#verdict').innerText")


def test_a_thousand_trials_fit_in_an_e_mail_and_stay_usable(
    compared: Callable[..., Comparison], page: Any, tmp_path: Path
) -> None:
    path = write(compared(("kd", "selkd"), seeds=25, tuned=tuple(map(float, range(20)))), tmp_path / "report")
    assert path.stat().st_size < 5e6
    page.open(path)
    assert page.ask("document.querySelectorAll('#trials tbody tr').length") == 1000
    page.click("#filter-trials")
    page.type("selkd")
    assert (
        page.ask("document.querySelector('#trials').closest('section').querySelector('output').textContent")
        == "500 of 1000 rows"
    )


def test_a_long_table_is_laid_out_when_it_comes_near_and_whole_on_paper(
    compared: Callable[..., Comparison], page: Any, tmp_path: Path
) -> None:
    path = write(compared(("kd", "selkd"), seeds=25, tuned=(1.0, 2.0, 3.0)), tmp_path / "report")
    page.open(path, 360)
    row = "document.querySelector('#trials tbody tr')"
    laid_out = f"{row}.checkVisibility({{contentVisibilityAuto: true}})"
    reached = "document.querySelector('#trials').closest('.scroll').tabIndex"
    assert page.ask(laid_out) is False
    page.ask(f"{row}.scrollIntoView({{behavior: 'instant'}})")
    page.ask("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50))))")
    assert page.ask(laid_out) is True
    assert page.ask(reached) == 0
    page.open(path, 720, media="print")
    assert page.ask(laid_out) is True
