"""What is written into the page."""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from selkd.comparison.compare import Comparison
from selkd.comparison.report import answers, figures, write
from selkd.comparison.report.page import page
from selkd.comparison.report.table import Cell, Column, Table, latex, markdown
from selkd.comparison.report.wording import address, apart, isolated, named
from selkd.comparison.views.levels import LEVELS


class Parts(HTMLParser):
    """Elements with their attributes, and the text of programs and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {"script": [], "style": []}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = tag

    def handle_data(self, data: str) -> None:
        if self._open in self.inside:
            self.inside[self._open].append(data)

    def handle_endtag(self, tag: str) -> None:
        self._open = ""


@pytest.fixture(autouse=True)
def one_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures have tests of their own."""
    monkeypatch.setattr(figures, "VIEWS", (LEVELS,))


def written(comparison: Comparison, folder: Path) -> Parts:
    return Parts(write(comparison, folder).read_text())


def test_equal_records_give_equal_bytes(compared: Callable[..., Comparison], tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(compared(), tmp_path / name)
    files = [sorted(p for p in (tmp_path / name).rglob("*") if p.is_file()) for name in ("one", "two")]
    assert [p.relative_to(tmp_path / "one") for p in files[0]] == [p.relative_to(tmp_path / "two") for p in files[1]]
    assert len(files[0]) > 10
    assert [p.read_bytes() for p in files[0]] == [p.read_bytes() for p in files[1]]


def test_the_date_is_that_of_the_records(compared: Callable[..., Comparison], tmp_path: Path) -> None:
    assert "from records up to 2026-01-01 00:11 UTC" in write(compared(), tmp_path / "report").read_text()


def test_nothing_is_fetched_and_no_handler_is_written_into_it(
    compared: Callable[..., Comparison], hostile: tuple[str, ...], tmp_path: Path
) -> None:
    found = written(compared(hostile, links="javascript:x{run}"), tmp_path / "report")
    for tag, attributes in found.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "srcset", "action")]
        for name in ("src", "href", "data"):
            address = attributes.get(name) or "#"
            assert address.startswith(("data:", "#")), (tag, attributes)


def test_the_policy_allows_its_own_style_and_program_alone(compared: Callable[..., Comparison], tmp_path: Path) -> None:
    found = written(compared(), tmp_path / "report")
    policy = next(a["content"] for _, a in found.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    for name in ("script", "style"):
        sha = base64.b64encode(hashlib.sha256("".join(found.inside[name][-1:]).encode()).digest()).decode()
        assert f"{name}-src 'sha256-{sha}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy


def test_data_for_the_program_cannot_end_it(
    compared: Callable[..., Comparison], hostile: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from selkd.comparison.views.curves import CURVES

    monkeypatch.setattr(figures, "VIEWS", (LEVELS, CURVES))
    text = write(compared(hostile, histories=tmp_path / "runs"), tmp_path / "report").read_text()
    blocks = re.findall(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)
    assert len(blocks) == 1
    assert "<" not in blocks[0]
    said = {level: words["5"] for level, words in json.loads(blocks[0])["said"]}
    assert any("</script><img src=x onerror=window.pwned=3>" in words for words in said.values())


@pytest.mark.parametrize(
    "link",
    ["javascript:alert(1)", " javascript:x", "data:text/html,x", "file:///etc/passwd", "//host/x", "http:x", "[", ""],
)
def test_only_addresses_of_the_web_become_links(link: str) -> None:
    assert address(link) is None


def test_a_row_links_to_its_runs(compared: Callable[..., Comparison], tmp_path: Path) -> None:
    comparison = compared(links="https://tracking.example/#/experiments/1/runs/{run}")
    found = written(comparison, tmp_path / "report")
    links = {a["href"] for tag, a in found.elements if tag == "a" and a.get("rel")}
    assert {f"https://tracking.example/#/experiments/1/runs/{run}" for run in comparison.trials.index} <= links


def test_without_a_server_runs_have_their_ids_and_a_hint(compared: Callable[..., Comparison], tmp_path: Path) -> None:
    comparison = compared(links="{run} (`selkd ui`)")
    text = write(comparison, tmp_path / "report").read_text()
    assert all(run in text for run in comparison.trials.index)
    assert "<code>selkd ui</code>" in text


def test_the_verdict_comes_first_and_says_what_it_is_worth(compared: Callable[..., Comparison]) -> None:
    declared = {"by": "objective.name", "metric": "accuracy"}
    for plan, word in ((None, "exploratory"), (declared, "confirmatory")):
        comparison = compared(comparison=plan)
        text = page(comparison, [])
        assert text.index('class="lead"') < text.index("<table")
        assert f'<span class="badge">{word}</span>' in text
        assert str(isolated(comparison.verdict)) in text


def test_what_was_left_out_is_listed_with_its_reason(compared: Callable[..., Comparison]) -> None:
    text = page(compared(), [])
    assert "still running" in text[text.index('id="left-out"') :]


def test_shared_keys_stand_once_and_differing_ones_with_what_was_done(compared: Callable[..., Comparison]) -> None:
    text = page(compared(tuned=(1.0, 2.0)), [])
    differing = text[text.index('id="differing-keys"') : text.index('id="shared-keys"')]
    for key, role in (("objective.name", "what is compared"), ("objective.epsilon", "chosen on validation"),
                      ("seed", "equal within a pair")):  # fmt: skip
        assert re.search(rf">{re.escape(key)}</th><td>{role}</td>", differing), key
    assert text.count(">data.source<") == 1


def test_one_level_one_seed_and_missing_values_are_still_a_report(compared: Callable[..., Comparison]) -> None:
    comparison = compared(("kd",), seeds=1)
    text = page(comparison, [])
    assert "No two levels could be compared." in text
    assert not re.search(r"\b(nan|None)\b", re.sub(r"<(script|style).*?</\1>", "", text, flags=re.DOTALL))


def test_a_name_is_set_apart_from_the_sentence_around_it() -> None:
    assert named("שלום is better than kd", ["שלום", "kd"]) == "<bdi>שלום</bdi> is better than kd"
    assert isolated("<b>é") == "<bdi>&lt;b&gt;é</bdi>"
    assert apart("é\u202e") == "\u2068é\\u202e\u2069"


def test_tables_for_papers_take_names_literally() -> None:
    table = Table("t", "T", [Column("level"), Column("n", True)], [[Cell("a|b_<&$"), Cell("3", 3)]])
    assert markdown(table) == "| level | n |\n| --- | ---: |\n| a\\|b\\_&lt;&amp;\\$ | 3 |\n"
    assert r"a\textbar{}b\_\textless{}\&\$ & 3 \\" in latex(table)


def test_workers_command_lines_stay_out_and_pairs_in_clusters_say_so(compared: Callable[..., Comparison]) -> None:
    comparison = compared(modes=("closed", "open"), seeds=6)
    comparison.records.provenance["command"] = "worker --address 10.0.0.7:6379"
    text = page(comparison, [])
    assert "10.0.0.7" not in text
    assert ">12 in 6<" in text
    assert "mode closed" in text[text.index('id="contrasts"') :]


def test_a_note_names_the_contrast_it_is_about(compared: Callable[..., Comparison]) -> None:
    assert re.search(r"selkd - kd: [^.]*\.", answers.contrasts(compared(seeds=1)).note)
