"""The tables behind the answer: every trial, what was left out, configuration and provenance."""

from collections import Counter
from typing import Any

import pandas as pd

from selkd.comparison import leaderboard
from selkd.comparison.factors import IDLE
from selkd.comparison.report.table import Cell, Column, Link, Table
from selkd.comparison.report.wording import address
from selkd.comparison.result import Comparison
from selkd.comparison.words import ABSENT, counted, text

MOST_TRIALS = 2_000
"""Trials that the page holds; the folder's table holds all."""
MOST_VALUES = 8
COMMAND = "command"
"""How a process was started: of workers an address and internals, which tell a reader nothing."""


def trials(comparison: Comparison) -> Table:
    """A row a run that was looked at, those that count first."""
    found, unit = comparison.trials, comparison.metric
    told = comparison.records.trials["link"]
    several = {name: len(set(found[name])) > 1 for name in ("study", "group", "split", "seed", "subset", "setting")}
    words = {"group": "group", "split": "split", "seed": "seed", "subset": "categories", "setting": "setting"}
    columns = [Column("run"), *([Column("study")] if several["study"] else []), Column("level")]
    columns += [Column(words[name], name in ("split", "seed"), name == "setting") for name in words if several[name]]
    columns += [Column(unit.words + (" (%)" if unit.share else ""), True), Column("on validation", True)]
    columns += [Column("counts"), Column("ended (UTC)")]
    ordered = found.sort_values(["chosen", "group", "level"], ascending=[False, True, True], kind="stable")
    rows = []
    for run, trial in ordered.head(MOST_TRIALS).to_dict("index").items():
        cells = [Cell("", links=(Link(str(run)[:8], address(str(told[run])), str(run)),))]
        cells += [Cell(text(trial["study"]))] if several["study"] else []
        cells.append(Cell(text(trial["level"])))
        told_of = {**trial, "group": leaderboard.group_name(comparison, trial["group"])}
        cells += [Cell(text(told_of[name])) for name in words if several[name]]
        cells += [_value(comparison, trial["value"]), _value(comparison, trial["validation"])]
        cells += [Cell("yes" if trial["chosen"] else "not chosen"), Cell(_time(trial["ended"]))]
        rows.append(cells)
    left = len(found) - len(rows)
    more = f" {left:,} more are in tables/trials.csv." if left else ""
    note = f"{counted(len(found), 'trial')}. Those that count have the setting that validation chose.{more}"
    return Table("trials", "All trials", columns, rows, note)


def left_out(comparison: Comparison) -> Table:
    """Every run that is in no number, with the reason."""
    found = comparison.left_out
    rows = [[Cell(text(value)) for value in row] for row in found[["run", "study", "key", "reason"]].to_numpy()]
    columns = [Column("run"), Column("study"), Column("trial"), Column("reason", long=True)]
    return Table("left-out", "Runs that were left out", columns, rows[:MOST_TRIALS], _more(len(rows)))


def configuration(comparison: Comparison) -> tuple[Table, Table]:
    """Keys that all trials share, and those that differ, with what the comparison did with them."""
    found = comparison.records.config.reindex(comparison.trials.index)
    found = found.drop(columns=[key for key in IDLE if key in found])
    shared, differing = _split(found)
    roles = [(key, "what is compared") for key in comparison.question.keys]
    roles += [(key, "chosen on validation") for key in comparison.pairing.tuned]
    roles += [(key, "equal within a pair") for key in comparison.pairing.shared]
    role = dict(reversed(roles))
    rows = [[Cell(key), Cell(role.get(key, "not looked at")), Cell(_counts(values))]
            for key, values in differing.items()]  # fmt: skip
    columns = [Column("key"), Column("what was done with it"), Column("values (trials)", long=True)]
    return (
        Table("shared-keys", "Keys that all trials share", [Column("key"), Column("value", long=True)], shared),
        Table("differing-keys", "Keys that differ", columns, rows),
    )


def provenance(comparison: Comparison) -> tuple[Table, Table]:
    """Code, versions and hardware: shared by all trials, and differing."""
    found = comparison.records.provenance.reindex(comparison.trials.index).drop(columns=COMMAND, errors="ignore")
    shared, differing = _split(found)
    rows = [[Cell(name), Cell(_counts(values))] for name, values in differing.items()]
    return (
        Table("shared-origin", "Shared by all trials", [Column("what"), Column("value", long=True)], shared),
        Table("differing-origin", "Differing", [Column("what"), Column("values (trials)", long=True)], rows),
    )


def studies(comparison: Comparison) -> Table:
    """The studies, what they searched, and what they had declared."""
    counts = Counter(comparison.records.trials["study"])
    rows = [
        [
            Cell("", links=(Link(text(name), address(study.link), study.run_id or ""),)),
            Cell(study.status),
            Cell(f"{counts[name]:,}", counts[name]),
            Cell(", ".join(f"{metric}: {direction}" for metric, direction in study.metrics.items()) or "-"),
            Cell(", ".join(study.searched) or "-"),
            Cell("yes" if study.comparison else "no"),
        ]
        for name, study in comparison.records.studies.items()
    ]
    columns = [Column("study"), Column("status"), Column("finished trials", True), Column("searched by"),
               Column("keys searched", long=True), Column("comparison declared")]  # fmt: skip
    return Table("studies", "Studies", columns, rows)


def _split(found: pd.DataFrame) -> tuple[list[list[Cell]], dict[str, Counter[str]]]:
    """Of a frame's columns the name and value of those that are the same everywhere, and the others' values."""
    shared, differing = [], {}
    for name in sorted(map(str, found.columns)):
        values = Counter(text(value) for value in found[name])
        if len(values) == 1:
            shared.append([Cell(name), Cell(next(iter(values)))])
        elif values:
            differing[name] = values
    return shared, differing


def _counts(values: Counter[str]) -> str:
    """`kd (12), selkd (12)`; of many the most frequent."""
    ordered = sorted(values.items(), key=lambda pair: (-pair[1], pair[0]))
    shown = [f"{'none' if value == ABSENT else value} ({count:,})" for value, count in ordered[:MOST_VALUES]]
    return ", ".join(shown) + (f" and {len(ordered) - MOST_VALUES:,} more" if len(ordered) > MOST_VALUES else "")


def _value(comparison: Comparison, value: Any) -> Cell:
    if pd.isna(value):
        return Cell("-")
    return Cell(leaderboard.figure(comparison.metric, float(value)), float(value))


def _time(value: Any) -> str:
    return "-" if pd.isna(value) else f"{value:%Y-%m-%d %H:%M}"


def _more(count: int) -> str:
    return f"{count - MOST_TRIALS:,} more are in tables/left-out.csv." if count > MOST_TRIALS else ""
