"""From what MLflow holds of runs, all of it text and numbers, to typed frames."""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from selkd.tracking.names import originals

TEXTS = {"name", "experiment"}
"""Keys of the configuration whose values are text even where they look like a number."""
OWN = "record/"
"""Metrics that say something of the record and nothing of the student."""


class Frames(NamedTuple):
    """What is known of trials, in frames with one index, the run id."""

    trials: pd.DataFrame
    config: pd.DataFrame
    metrics: pd.DataFrame
    provenance: pd.DataFrame


def frames(table: pa.Table) -> Frames:
    """`table` holds a row a trial, as `snapshot.table_of`, with columns `study` and `link`."""
    columns = table.column_names
    table = table.select([name for name in columns if ":" not in name or table[name].null_count < table.num_rows])
    index = pd.Index(texts(table, "run"), name="run", dtype=object)
    config = {name: _typed(table[f"param:{name}"], name) for name in _names(table, "param:")}
    origin = {
        name: _objects(table[f"tag:selkd.provenance.{name}"], str) for name in _names(table, "tag:selkd.provenance.")
    }
    found = (_trials(table), config, _metrics(table), origin)
    return Frames(*(pd.DataFrame(columns, index=range(len(index))).set_axis(index) for columns in found))


def texts(table: pa.Table, name: str) -> np.ndarray:
    """A column as objects, None where it has nothing."""
    if name not in table.column_names:
        return np.full(table.num_rows, None, dtype=object)
    return np.array([*table[name].to_pylist(), None], dtype=object)[:-1]


def _trials(table: pa.Table) -> dict[str, Any]:
    tag = {name: texts(table, f"tag:selkd.{name}") for name in ("trial", "role", "categories", "candidate", "seed")}
    return {
        "study": texts(table, "study"),
        "key": tag["trial"],
        "name": texts(table, "name"),
        "candidate": _whole(tag["candidate"]),
        "role": np.where(tag["role"] == "twin", "twin", "student"),
        "status": np.full(table.num_rows, "finished", dtype=object),
        "seed": _whole(tag["seed"]),
        "began": _times(table, "began"),
        "ended": _times(table, "ended"),
        "categories": tag["categories"],
        "link": texts(table, "link"),
    }


def _metrics(table: pa.Table) -> dict[str, np.ndarray]:
    """Numbers as they were logged: MLflow keeps no infinity, but the largest number in its place."""
    names = [name for name in _names(table, "metric:") if not name.startswith(OWN)]
    shown = originals(names, {text for text in texts(table, "tag:selkd.categories") if text})
    columns = {}
    for name in names:
        values = table[f"metric:{name}"].to_numpy()
        infinite = np.abs(values) >= sys.float_info.max
        columns[shown.get(name, name)] = np.where(infinite, np.copysign(np.inf, values), values)
    return columns


def _names(table: pa.Table, prefix: str) -> list[str]:
    return [name.removeprefix(prefix) for name in table.column_names if name.startswith(prefix)]


def _typed(column: pa.ChunkedArray, key: str) -> pd.Series:
    """Values from their JSON text. Numbers or truth values alone make a column of their type."""
    values = _objects(column, str if key in TEXTS else _value)
    kinds = {type(value) for value in values}
    if column.null_count == 0 and (kinds <= {int, float} or kinds == {bool}):
        return pd.Series(values.tolist())
    return pd.Series(values, dtype=object)


def _objects(column: pa.ChunkedArray, made: Callable[[str], Any]) -> np.ndarray:
    """What `made` makes of each text, made once for equal ones; NaN where there is none."""
    coded = column.combine_chunks().dictionary_encode()
    choices = np.empty(len(coded.dictionary) + 1, dtype=object)
    for place, text in enumerate(coded.dictionary.to_pylist()):
        choices[place] = made(text)
    choices[-1] = np.nan
    return choices[pc.fill_null(coded.indices, len(choices) - 1).to_numpy(zero_copy_only=False)]


def _value(text: str) -> Any:
    try:
        return _frozen(json.loads(text, parse_constant=_no_number))
    except ValueError:
        return text


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is a word here")


def _frozen(value: Any) -> Any:
    """Lists as tuples, so that values can be compared and counted; a mapping as its JSON text."""
    if isinstance(value, list):
        return tuple(_frozen(part) for part in value)
    return json.dumps(value, sort_keys=True, ensure_ascii=False) if isinstance(value, Mapping) else value


def _whole(numbers: np.ndarray) -> Any:
    found = [int(text) if text and text.removeprefix("-").isdecimal() else None for text in numbers]
    return pd.array(found, dtype="Int64")


def _times(table: pa.Table, name: str) -> Any:
    return table[name].cast(pa.timestamp("ms", tz="UTC")).to_pandas().array
