"""The tables of the answer: levels, and the pairs of them that were compared."""

import math
from collections.abc import Iterator

import pandas as pd

from selkd.comparison import leaderboard
from selkd.comparison.report.table import Cell, Column, Link, Table
from selkd.comparison.report.wording import address
from selkd.comparison.result import ALL, Comparison, Contrast
from selkd.comparison.words import chance, listed, number

NAMED = 4
"""Contrasts that a note names."""


def levels(comparison: Comparison) -> Table:
    """The leaderboard, each row with its runs."""
    several = len(set(comparison.levels["group"])) > 1
    names = leaderboard.header(comparison)
    columns = [Column(name, numeric=2 <= place < 7, long=place == 7) for place, name in enumerate(names)]
    columns.append(Column("runs"))
    rows = []
    shown = zip(leaderboard.rows(comparison), comparison.levels.to_dict("records"), strict=True)
    for row, exact in shown:
        mine = comparison.trials.loc[
            comparison.trials["chosen"].astype(bool)
            & (comparison.trials["group"] == exact["group"])
            & (comparison.trials["level"] == exact["level"])
        ]
        rows.append(
            [
                Cell(row.group),
                Cell(row.level, strong=row.best),
                Cell(row.n, exact["n"]),
                Cell(row.mean + row.mark, exact["mean"], strong=row.best),
                Cell(row.interval, exact["low"]),
                Cell(row.validation, exact["validation"]),
                Cell(row.budget, exact["budget"]),
                Cell(row.setting),
                Cell("", links=tuple(links(comparison, mine))),
            ]
        )
    if not several:  # the groups' column says nothing of one group
        columns, rows = columns[1:], [row[1:] for row in rows]
    return Table("leaderboard", "Leaderboard", columns, rows, leaderboard.legend(comparison))


def contrasts(comparison: Comparison) -> Table:
    """A row a pair of levels, the difference seen from the first."""
    metric, points = comparison.metric, " (points)" if comparison.metric.share else ""
    confidence = f"{100 * (1 - comparison.question.alpha):g} % interval"
    columns = [
        Column("group"), Column("level"), Column("against"), Column(f"difference{points}", True),
        Column(confidence, True),
        Column("pairs", True), Column("wins, ties, losses", True), Column("p", True), Column("p, corrected", True),
        Column("p, Wilcoxon", True), Column("effect size", True), Column(f"detectable{points}", True),
        Column("told"),
    ]  # fmt: skip
    rows = [
        [
            Cell(leaderboard.group_name(comparison, one.group)), Cell(one.level), Cell(one.against),
            Cell(_signed(comparison, one.difference), one.difference),
            Cell(_interval(comparison, one), one.low), Cell(leaderboard.pairs(one), one.pairs),
            Cell(f"{one.wins}, {one.ties}, {one.losses}"), _p(one.p), _p(one.adjusted), _p(one.wilcoxon),
            Cell(number(one.dz, 2), one.dz),
            Cell(number(None if one.detectable is None else one.detectable * metric.unit, 2), one.detectable),
            Cell(f"{one.better} is better{one.marks}" if one.better else "no", strong=one.better is not None),
        ]
        for one in leaderboard.in_groups(comparison)
    ]  # fmt: skip
    if all(one.group == ALL for one in comparison.contrasts):
        columns, rows = columns[1:], [row[1:] for row in rows]
    return Table("contrasts", "Pairs of levels", columns, rows, _note(comparison))


def links(comparison: Comparison, mine: pd.DataFrame) -> Iterator[Link]:
    """The runs of some trials, named after split and seed."""
    splits = len(set(comparison.trials["split"])) > 1
    addresses = comparison.records.trials["link"]
    for run, trial in mine.sort_values(["split", "seed"], kind="stable").to_dict("index").items():
        words = f"seed {trial['seed'] or '0'}" + (f", split {trial['split']}" if splits else "")
        yield Link(words, address(str(addresses[run])), str(run))


def _note(comparison: Comparison) -> str:
    about: dict[str, list[str]] = {}
    for one in leaderboard.in_groups(comparison):
        where = "" if one.group == ALL else f" ({leaderboard.group_name(comparison, one.group)})"
        for note in one.notes:
            about.setdefault(note, []).append(f"{one.level} - {one.against}{where}")
    return " ".join([comparison.family, *(f"{listed(who, NAMED)}: {note}." for note, who in sorted(about.items()))])


def _signed(comparison: Comparison, value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value * 100:+.1f}" if comparison.metric.share else f"{value:+.4g}"


def _interval(comparison: Comparison, one: Contrast) -> str:
    if math.isnan(one.low):
        return "-"
    return f"{_signed(comparison, one.low)} to {_signed(comparison, one.high)}"


def _p(value: float | None) -> Cell:
    return Cell(chance(value), value)
