"""The leaderboard and the contrasts as people read them: lines of words and rounded numbers."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from selkd.comparison.tables import Frame
from selkd.comparison.words import chance, counted, number, shortened, tenths

if TYPE_CHECKING:
    from selkd.comparison.result import Comparison, Contrast, Metric

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
    columns = [*(["group"] if several(comparison) else []), *COLUMNS]
    return comparison.levels[columns].reset_index(drop=True)


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
    first, *rest = shown(comparison, [header(comparison), *lines])
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
    many = several(comparison)
    return [
        f"Chosen for {row.level}{f' ({row.group})' if many else ''}: {row.setting}"
        for row in rows(comparison)
        if row.setting
    ]


def legend(comparison: "Comparison", bold: str = "") -> str:
    """What the numbers and marks of the leaderboard are."""
    against = f"against {comparison.question.baseline}" if comparison.question.baseline else "against the best"
    stars = "* p < 0.05, ** p < 0.01, *** p < 0.001, corrected (Holm)"
    if comparison.look is not None:
        stars = f"* told at look {comparison.look} of those declared"
    standing = " Exploratory: not a comparison that was declared beforehand." if comparison.exploratory else ""
    return f"Mean ± standard deviation over n students; {bold}{against}: {stars}.{standing}"


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


def several(comparison: "Comparison") -> bool:
    """Whether levels are compared within groups, such as tasks, of which a reader must hear."""
    return len(set(comparison.levels["group"])) > 1


def shown(comparison: "Comparison", table: list[list[str]]) -> list[list[str]]:
    """The table without its first column where there is one group."""
    return table if several(comparison) else [line[1:] for line in table]
