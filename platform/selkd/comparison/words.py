"""How values, numbers and names are written, whatever a category or a study is called."""

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

ABSENT = ""
"""What is written where a run has no such key."""
DIRECTIONS = {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)}
"""Characters that turn the direction of the text around them; letters that run right to left are none of them."""
SHOWN = 8


@lru_cache(maxsize=65_536, typed=True)
def text(value: Any) -> str:
    """A configuration's value as a user would write it."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case float():
            return _decimal(value)
        case tuple():
            return "[" + ", ".join(text(one) for one in value) + "]"
        case _:
            return visible(str(value))


def _decimal(value: float) -> str:
    """As short as reads back as the same number; whole ones without a point."""
    if math.isnan(value):
        return ABSENT
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def visible(name: str) -> str:
    """A name in which nothing acts unseen: control characters and turns of direction are spelled out."""
    hidden = {c for c in name if c in DIRECTIONS or unicodedata.category(c) in ("Cc", "Zl", "Zp")}
    return "".join(c.encode("unicode_escape").decode() if c in hidden else c for c in name)


def settings(pairs: Iterable[tuple[str, str]]) -> str:
    """`objective.epsilon=2, objective.alpha=1`; keys that a run does not have are left out."""
    return ", ".join(f"{key}={value}" for key, value in pairs if value != ABSENT)


def shortened(name: str, keys: Sequence[str]) -> str:
    """`rows_per_category 100` for `data.rows_per_category=100`; keys that end alike stay in full."""
    ends = [key.rpartition(".")[2] for key in keys]
    for key, end in zip(keys, ends, strict=True):
        if ends.count(end) == 1:
            name = re.sub(rf"(^|, ){re.escape(key)}=", rf"\g<1>{end} ", name)
    return name


def number(value: float | None, digits: int = 3) -> str:
    """So many digits that count, a dash where there is no number."""
    if value is None or not math.isfinite(value):
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if value and abs(value) < 10**-digits:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{digits}f}"


def tenths(value: float) -> str:
    """Hundredths with one digit, whatever their size."""
    return f"{round(value, 1) + 0.0:.1f}" if math.isfinite(value) else "-"


def p_value(p: float | None) -> str:
    """`p = 0.004`, `p < 0.0001`."""
    if p is None or math.isnan(p):
        return "p unknown"
    return f"p {chance(p)}" if p < 1e-4 else f"p = {chance(p)}"


def chance(p: float | None) -> str:
    """A p-value in a table: `0.004`, `< 0.0001`."""
    if p is None or math.isnan(p):
        return "-"
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def listed(names: Sequence[str], shown: int = SHOWN) -> str:
    """`a, b and c`; of many the first few."""
    if len(names) > shown:
        return f"{', '.join(names[:shown])} and {len(names) - shown} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 pair`, `10 pairs`, `10 pairs of subsets`."""
    return f"{count:,} {one if count == 1 else many or plural(one)}"


def plural(one: str) -> str:
    """`pairs`, `pairs of subsets`."""
    first, *rest = one.split(" of ")
    return " of ".join([f"{first}s", *rest])
