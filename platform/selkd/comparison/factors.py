"""The keys that vary over trials, and which of them a question is about."""

from collections.abc import Sequence

import pandas as pd

from selkd.comparison.question import TOGETHER
from selkd.comparison.records import Records
from selkd.comparison.tables import Column, Frame
from selkd.comparison.words import ABSENT, listed, text
from selkd.errors import UserError, nearest

STUDY, SEED, SPLIT, SUBSET, SOURCE = "study", "seed", "data.seed", "task.categories", "data.source"
OBJECTIVE = "objective."
CHOOSERS = ("name", "policy", "model")
"""Keys that name a component; the keys beside them are its settings."""
IDLE = ("name", "experiment", "data.root", "data.memory_budget", "training.threads")
"""Keys that decide where or how a student is trained, never which one; with all of `workers`."""


def labels(records: Records, runs: pd.Index) -> Frame:
    """Every key that varies over these runs, with its values as text; `study` is one of them."""
    found = {STUDY: records.trials.loc[runs, STUDY].map(text)}
    for key, column in records.config.loc[runs].items():
        if key not in IDLE and not str(key).startswith("workers."):
            found[str(key)] = pd.Series([text(value) for value in column], index=runs, dtype=object)
    return pd.DataFrame({key: column for key, column in found.items() if column.nunique() > 1}, index=runs)


def column(records: Records, by: str, runs: pd.Index) -> Column:
    """The values of a key as text, whether or not they vary; of several keys their combinations, `kd, truth=plain`."""
    first, *others = by.split(TOGETHER)
    found = _texts(records, first, runs)
    for key in others:
        last = key.rpartition(".")[2]
        found = [f"{a}, {last}={b}" if a and b else a for a, b in zip(found, _texts(records, key, runs), strict=True)]
    return pd.Series(found, index=runs, dtype=object)


def _texts(records: Records, key: str, runs: pd.Index) -> list[str]:
    values = records.trials[STUDY] if key == STUDY else records.config[key]
    return [text(value) for value in values.loc[runs]]


def resolve(records: Records, given: str, place: str) -> str:
    """The key that is meant, or keys: in full, or by parts that fit one, as `policy` fits selection.samples.policy."""
    return TOGETHER.join(_resolve(records, part.strip(), place) for part in given.split(TOGETHER))


def _resolve(records: Records, given: str, place: str) -> str:
    known = [STUDY, *map(str, records.config.columns)]
    if given in known:
        return given
    varying = [str(key) for key in labels(records, records.trials.index)]
    fitting = [key for key in known if _abbreviates(given, key)]
    for candidates in (
        [key for key in fitting if key in varying and key.rpartition(".")[2] in CHOOSERS],
        [key for key in fitting if key in varying],
        fitting,
    ):
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            raise UserError(f"{place}: {given!r} may be {listed(candidates)}. Write one of them in full.")
    vary = f"These vary: {listed(varying, 20)}." if varying else "No key varies in these studies."
    raise UserError(f"{place}: no run has the key {given!r}. {nearest(given, varying or known)} {vary}")


def factors(records: Records) -> Frame:
    """The keys that a question can be about, most levels first: key, levels (how many) and values."""
    table = labels(records, records.trials.index).drop(columns=[SEED, SPLIT], errors="ignore")
    rows = []
    for key in table:
        values = [value for value in dict.fromkeys(table[key]) if value != ABSENT]
        rows.append({"key": key, "levels": len(values), "values": listed(in_order(values))})
    found = pd.DataFrame(rows, columns=["key", "levels", "values"])
    return found.sort_values("levels", ascending=False, kind="stable", ignore_index=True)


def in_order(values: Sequence[str]) -> list[str]:
    """Numbers by size, then words by the alphabet; of `key=value, key=value` part by part."""
    return sorted(values, key=lambda value: [_place(part) for part in value.split(", ")])


def _place(part: str) -> tuple[str, bool, float, str]:
    key, _, value = part.rpartition("=")
    try:
        return (key, False, float(value), value)
    except ValueError:
        return (key, True, 0.0, value)


def _abbreviates(given: str, key: str) -> bool:
    rest = iter(key.split("."))
    return all(part in rest for part in given.split("."))
