"""The leaderboard and the contrasts as frames, CSV, Markdown, LaTeX and JSON."""

import dataclasses
import json
import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from selkd.comparison.tables import Frame
from selkd.comparison.words import number

if TYPE_CHECKING:
    from selkd.comparison.result import Comparison, Metric

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
                group=one.group,
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
    confidence = f"{100 * (1 - comparison.question.alpha):g} % interval"
    return ["group", comparison.question.by, "n", comparison.metric.words + unit, confidence,
            "on validation", "budget (rows)", "setting"]  # fmt: skip


def markdown(comparison: "Comparison") -> str:
    """A table for a page, with what its marks mean below it."""
    table = [[_markdown(name) for name in header(comparison)]]
    table.append(["---", "---", *["---:"] * 5, "---"])
    for row in rows(comparison):
        level, mean = _markdown(row.level), _markdown(row.mean + row.mark)
        cells = [f"**{level}**", row.n, f"**{mean}**"] if row.best else [level, row.n, mean]
        table.append(
            [_markdown(row.group), *cells, *map(_markdown, (row.interval, row.validation, row.budget, row.setting))]
        )
    lines = "\n".join(f"| {' | '.join(line)} |" for line in _shown(comparison, table))
    return f"{lines}\n\n{_markdown(legend(comparison))}\n"


def latex(comparison: "Comparison") -> str:
    """A booktabs table for a paper, with what its marks mean below it."""
    names = [_latex(name) for name in header(comparison)[:5]]
    table = []
    for row in rows(comparison):
        level, mean, mark = _latex(row.level), _latex(row.mean), f"$^{{{row.mark}}}$" if row.mark else ""
        cells = (
            [rf"\textbf{{{level}}}", row.n, rf"\textbf{{{mean}}}{mark}"] if row.best else [level, row.n, mean + mark]
        )
        table.append([_latex(row.group), *cells, _latex(row.interval)])
    lines = [" & ".join(line) + r" \\" for line in _shown(comparison, [names, *table])]
    columns = ("l" if _several(comparison) else "") + "lrrr"
    body = "\n".join(lines[1:])
    return (
        rf"\begin{{tabular}}{{{columns}}}" + f"\n\\toprule\n{lines[0]}\n\\midrule\n{body}\n\\bottomrule\n"
        rf"\end{{tabular}}" + f"\n% {legend(comparison)}\n"
    )


def legend(comparison: "Comparison") -> str:
    """What the numbers and marks of the leaderboard are."""
    against = f"against {comparison.question.baseline}" if comparison.question.baseline else "against the best"
    return (
        "Mean ± standard deviation over n students; best in bold; "
        f"{against}: * p < 0.05, ** p < 0.01, *** p < 0.001, corrected (Holm)."
    )


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
    return number(value * metric.unit, 1) if metric.share else f"{value:.4g}"


def _chosen(comparison: "Comparison", value: float) -> str:
    """A validation mean; of a share in hundredths, as in the metric it belongs to."""
    metric = comparison.metric
    same = metric.reported.rpartition("/")[2] == metric.chosen_by.rpartition("/")[2]
    return figure(metric, value) if same else number(100 * value, 1)


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
