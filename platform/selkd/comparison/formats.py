"""What a comparison found as CSV, Markdown, LaTeX and JSON; no name in it acts as markup or formula."""

import dataclasses
import json
import re
from typing import TYPE_CHECKING, Any

from selkd.comparison import leaderboard
from selkd.comparison.tables import Frame

if TYPE_CHECKING:
    from selkd.comparison.result import Comparison

FORMULA = ("=", "+", "-", "@")
"""What makes a spreadsheet take a cell for a formula."""
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
MARKDOWN = str.maketrans(ENTITIES | {c: f"\\{c}" for c in "\\`*_{}[]|~#$"})
LATEX = str.maketrans(
    {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
     ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", "±": r"$\pm$"}
    | {c: f"\\{c}" for c in "&%$#_{}"}
)  # fmt: skip


def csv(found: Frame) -> str:
    """Numbers in full; a name that a spreadsheet would run as a formula gets an apostrophe."""
    texts = found.select_dtypes(exclude=["number", "bool"]).columns
    return found.assign(**{name: found[name].map(_inert) for name in texts}).to_csv(index=False, lineterminator="\n")


def markdown(comparison: "Comparison") -> str:
    """A table for a page, with what its marks mean below it."""
    names, lines = leaderboard.cells(comparison)
    bold = (len(names) - 7, len(names) - 5)
    table = [[_markdown(name) for name in names], ["---"] * (bold[0] + 1) + ["---:"] * 5 + ["---"]]
    for row, line in zip(leaderboard.rows(comparison), lines, strict=True):
        table.append([f"**{_markdown(c)}**" if row.best and k in bold else _markdown(c) for k, c in enumerate(line)])
    body = "\n".join(f"| {' | '.join(line)} |" for line in table)
    return f"{body}\n\n{_markdown(leaderboard.legend(comparison, 'best in bold; '))}\n"


def latex(comparison: "Comparison") -> str:
    """A booktabs table for a paper, with what its marks mean below it."""
    table = [[_latex(name) for name in leaderboard.header(comparison)[:5]]]
    for row in leaderboard.rows(comparison):
        level, mean, mark = _latex(row.level), _latex(row.mean), f"$^{{{row.mark}}}$" if row.mark else ""
        both = [rf"\textbf{{{level}}}", rf"\textbf{{{mean}}}{mark}"] if row.best else [level, mean + mark]
        table.append([_latex(row.group), both[0], row.n, both[1], _latex(row.interval)])
    names, *lines = [" & ".join(line) + r" \\" for line in leaderboard.shown(comparison, table)]
    columns = ("l" if leaderboard.several(comparison) else "") + "lrrr"
    rule = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", names, r"\midrule", *lines, r"\bottomrule"]
    return "\n".join([*rule, r"\end{tabular}", f"% {leaderboard.legend(comparison, 'best in bold; ')}"]) + "\n"


def as_json(comparison: "Comparison") -> dict[str, Any]:
    """Everything but the trials, with null for what is no number."""
    units = comparison.units.reset_index()
    units.columns = [str(name) for name in units.columns]
    return {
        "verdict": comparison.verdict,
        "exploratory": comparison.exploratory,
        "question": dataclasses.asdict(comparison.question),
        "metric": dataclasses.asdict(comparison.metric),
        "pairing": dataclasses.asdict(comparison.pairing) | {"words": comparison.pairing.words},
        "plan": comparison.plan and dataclasses.asdict(comparison.plan),
        "look": comparison.look,
        "family": comparison.family,
        "levels": _plain(leaderboard.frame(comparison)),
        "contrasts": _plain(comparison.contrasts_table()),
        "overall": comparison.overall and dataclasses.asdict(comparison.overall),
        "units": _plain(units),
        "caveats": comparison.caveats,
        "left_out": _plain(comparison.left_out),
    }


def _plain(found: Frame) -> list[dict[str, Any]]:
    return json.loads(found.to_json(orient="records", double_precision=15))


def _inert(value: Any) -> Any:
    risky = isinstance(value, str) and value.startswith(FORMULA) and not re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", value)
    return f"'{value}" if risky else value


def _markdown(value: str) -> str:
    return value.translate(MARKDOWN)


def _latex(value: str) -> str:
    return value.translate(LATEX)
