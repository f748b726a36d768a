"""The leaderboard and the contrasts as frames, CSV, Markdown, LaTeX and JSON."""

import dataclasses
import json
import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from selkd.comparison.tables import Frame
from selkd.comparison.words import chance, counted, number, shortened, tenths

if TYPE_CHECKING:
    from selkd.comparison.result import Comparison, Contrast, Metric

FORMULA = ("=", "+", "-", "@")
"""What makes a spreadsheet take a cell for a formula."""
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
MARKDOWN = str.maketrans(ENTITIES | {c: f"\\{c}" for c in "\\`*_{}[]|~#$"})
LATEX = str.maketrans(
    {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
     ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", "±": r"$\pm$"}
    | {c: f"\\{c}" for c in "&%$#_{}"}
)  # fmt: skip
COLUMNS = ("rank", "level", "n", "mean", "deviation", "mark", "low", "high", "median", "validation", "optimism",
           "settings", "setting", "budget", "unequal", "seconds")  # fmt: skip


class Line(NamedTuple):
    """What of a level is shown to people."""

    group: str
    level: str
    n: int
    mean: float
    deviation: float
    mark: str
    low: float
    high: float
    validation: float
    budget: float
    unequal: bool
    setting: str
    rank: int


class Row(NamedTuple):
    """One line of the table that people read."""

    group: str
    level: str
    n: str
    mean: str  # mean ± deviation
    mark: str
    interval: str
    validation: str
    budget: str
    setting: str
    best: bool


def frame(comparison: "Comparison") -> Frame:
    """A row a group and level, the best first; numbers in the metric's own unit."""
    columns = [*(["group"] if _several(comparison) else []), *COLUMNS]
    return comparison.levels[columns].reset_index(drop=True)


def contrasts(comparison: "Comparison") -> Frame:
    """A row a contrast, with everything that was computed."""
    from selkd.comparison.result import Contrast

    fields = [field.name for field in dataclasses.fields(Contrast)]
    rows = [[*(getattr(one, name) for name in fields), one.marks] for one in comparison.contrasts]
    return pd.DataFrame(rows, columns=[*fields, "marks"])


def csv(found: Frame) -> str:
    """Numbers in full; a name that a spreadsheet would run as a formula gets an apostrophe."""
    texts = found.select_dtypes(exclude=["number", "bool"]).columns
    return found.assign(**{name: found[name].map(_inert) for name in texts}).to_csv(index=False, lineterminator="\n")


def rows(comparison: "Comparison") -> list[Row]:
    """The leaderboard in words and rounded numbers, shares in hundredths."""
    metric, levels, found = comparison.metric, comparison.levels, []
    for one in map(Line._make, levels[list(Line._fields)].to_numpy(dtype=object)):
        deviation = "" if math.isnan(one.deviation) else f" ± {figure(metric, one.deviation)}"
        around = "-" if math.isnan(one.low) else f"{figure(metric, one.low)} to {figure(metric, one.high)}"
        found.append(
            Row(
                group=group_name(comparison, one.group),
                level=one.level,
                n=str(one.n),
                mean=figure(metric, one.mean) + deviation,
                mark=one.mark,
                interval=around,
                validation=_chosen(comparison, one.validation),
                budget=number(one.budget, 0) + (" (more)" if one.unequal else ""),
                setting=one.setting,
                best=one.rank == 1,
            )
        )
    return found


def header(comparison: "Comparison") -> list[str]:
    """The names of a row's columns, the group's first."""
    unit = " (%)" if comparison.metric.share else ""
    return ["group", comparison.question.by, "n", comparison.metric.words + unit, _confidence(comparison),
            "on validation", "budget (rows)", "setting"]  # fmt: skip


def group_name(comparison: "Comparison", group: str) -> str:
    """A group as people read it: the ends of its keys say enough."""
    return shortened(group, comparison.pairing.groups)


def tables(comparison: "Comparison") -> tuple[list[str], dict[str, list[list[str]]]]:
    """Header and lines of the leaderboard, a table a group; settings are left to `chosen`."""
    return header(comparison)[1:-1], _by_group(_lines(comparison), end=-1)


def cells(comparison: "Comparison") -> tuple[list[str], list[list[str]]]:
    """Header and lines of the leaderboard; the group's column where there are several."""
    lines = _lines(comparison)
    first, *rest = _shown(comparison, [header(comparison), *lines])
    return first, rest


def contrast_tables(comparison: "Comparison") -> tuple[list[str], dict[str, list[list[str]]]]:
    """Header and lines of the contrasts that have pairs, a table a group, in rounded numbers; shares in points."""
    metric, unit = comparison.metric, " (points)" if comparison.metric.share else ""
    names = ["contrast", f"difference{unit}", _confidence(comparison), "pairs", "won, tied, lost", "p",
             "p (Holm)", "effect (dz)"]  # fmt: skip
    lines = []
    for one in in_groups(comparison):
        if not one.pairs:
            continue
        around = "-" if math.isnan(one.low) else f"{figure(metric, one.low)} to {figure(metric, one.high)}"
        named, difference = group_name(comparison, one.group), figure(metric, one.difference) + one.marks
        lines.append(
            [named, f"{one.level} - {one.against}", difference, around, pairs(one),
             f"{one.wins}, {one.ties}, {one.losses}", chance(one.p), chance(one.adjusted), number(one.dz, 2)]
        )  # fmt: skip
    return names, _by_group(lines)


def in_groups(comparison: "Comparison") -> list["Contrast"]:
    """The contrasts, those over all groups first, the others in the order of the leaderboard."""
    order = list(dict.fromkeys(comparison.levels["group"]))
    return sorted(comparison.contrasts, key=lambda one: order.index(one.group) if one.group in order else -1)


def pairs(one: "Contrast") -> str:
    """`30`; `30 in 10` where pairs are not independent of each other."""
    return str(one.pairs) if one.clusters == one.pairs else f"{one.pairs} in {one.clusters}"


def without_pairs(comparison: "Comparison") -> list[str]:
    """A line on contrasts that have no row for want of pairs."""
    count = sum(not one.pairs for one in comparison.contrasts)
    return [f"{counted(count, 'contrast')} not shown: no pair has a value on both sides."] if count else []


def chosen(comparison: "Comparison") -> list[str]:
    """What was chosen on validation, a line a level and group."""
    several = _several(comparison)
    return [
        f"Chosen for {row.level}{f' ({row.group})' if several else ''}: {row.setting}"
        for row in rows(comparison)
        if row.setting
    ]


def markdown(comparison: "Comparison") -> str:
    """A table for a page, with what its marks mean below it."""
    names, lines = cells(comparison)
    bold = (len(names) - 7, len(names) - 5)
    table = [[_markdown(name) for name in names], ["---"] * (bold[0] + 1) + ["---:"] * 5 + ["---"]]
    for row, line in zip(rows(comparison), lines, strict=True):
        table.append([f"**{_markdown(c)}**" if row.best and k in bold else _markdown(c) for k, c in enumerate(line)])
    body = "\n".join(f"| {' | '.join(line)} |" for line in table)
    return f"{body}\n\n{_markdown(legend(comparison, 'best in bold; '))}\n"


def latex(comparison: "Comparison") -> str:
    """A booktabs table for a paper, with what its marks mean below it."""
    table = [[_latex(name) for name in header(comparison)[:5]]]
    for row in rows(comparison):
        level, mean, mark = _latex(row.level), _latex(row.mean), f"$^{{{row.mark}}}$" if row.mark else ""
        both = [rf"\textbf{{{level}}}", rf"\textbf{{{mean}}}{mark}"] if row.best else [level, mean + mark]
        table.append([_latex(row.group), both[0], row.n, both[1], _latex(row.interval)])
    names, *lines = [" & ".join(line) + r" \\" for line in _shown(comparison, table)]
    columns = ("l" if _several(comparison) else "") + "lrrr"
    rule = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", names, r"\midrule", *lines, r"\bottomrule"]
    return "\n".join([*rule, r"\end{tabular}", f"% {legend(comparison, 'best in bold; ')}"]) + "\n"


def legend(comparison: "Comparison", bold: str = "") -> str:
    """What the numbers and marks of the leaderboard are."""
    against = f"against {comparison.question.baseline}" if comparison.question.baseline else "against the best"
    stars = "* p < 0.05, ** p < 0.01, *** p < 0.001, corrected (Holm)"
    if comparison.look is not None:
        stars = f"* told at look {comparison.look} of those declared"
    standing = " Exploratory: not a comparison that was declared beforehand." if comparison.exploratory else ""
    return f"Mean ± standard deviation over n students; {bold}{against}: {stars}.{standing}"


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
        "levels": _plain(frame(comparison)),
        "contrasts": _plain(contrasts(comparison)),
        "overall": comparison.overall and dataclasses.asdict(comparison.overall),
        "units": _plain(units),
        "caveats": comparison.caveats,
        "left_out": _plain(comparison.left_out),
    }


def figure(metric: "Metric", value: float) -> str:
    """A value of the metric: a share in hundredths."""
    return tenths(value * metric.unit) if metric.share else f"{value:.4g}"


def _confidence(comparison: "Comparison") -> str:
    return f"{100 * (1 - comparison.question.alpha):g} % interval"


def _chosen(comparison: "Comparison", value: float) -> str:
    """A validation mean; of a share in hundredths, as in the metric it belongs to."""
    metric = comparison.metric
    same = metric.reported.rpartition("/")[2] == metric.chosen_by.rpartition("/")[2]
    return figure(metric, value) if same else tenths(100 * value)


def _lines(comparison: "Comparison") -> list[list[str]]:
    return [[*row[:3], row.mean + row.mark, *row[5:9]] for row in rows(comparison)]


def _by_group(lines: Iterable[list[str]], end: int | None = None) -> dict[str, list[list[str]]]:
    """Lines by their first cell, which is left out."""
    found: dict[str, list[list[str]]] = {}
    for group, *rest in lines:
        found.setdefault(group, []).append(rest[:end])
    return found


def _several(comparison: "Comparison") -> bool:
    return len(set(comparison.levels["group"])) > 1


def _shown(comparison: "Comparison", table: list[list[str]]) -> list[list[str]]:
    """The table without its first column where there is one group."""
    return table if _several(comparison) else [line[1:] for line in table]


def _plain(found: Frame) -> list[dict[str, Any]]:
    return json.loads(found.to_json(orient="records", double_precision=15))


def _inert(value: Any) -> Any:
    risky = isinstance(value, str) and value.startswith(FORMULA) and not re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", value)
    return f"'{value}" if risky else value


def _markdown(value: str) -> str:
    return value.translate(MARKDOWN)


def _latex(value: str) -> str:
    return value.translate(LATEX)
