"""How the commands of studies write parameters, values, times and courses."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from selkd.cli import show

if TYPE_CHECKING:
    from selkd.sweeps.state import Candidate, State

BARS = "▁▂▃▄▅▆▇█"
UNITS = {"d": 86_400, "h": 3_600, "min": 60, "s": 1}
WORDS = {
    "finished": "finished",
    "running": "running",
    "pruned": "stopped early",
    "failed": "failed",
    "waiting": "waiting",
    "stopped": "stopped, can go on",
}


def duration(seconds: float | None) -> str:
    """The two largest units: `3 h 20 min`."""
    if seconds is None:
        return "unknown"
    rest, shown = round(seconds), []
    if rest >= UNITS["h"]:
        rest = round(rest / UNITS["min"]) * UNITS["min"]
    for unit, size in UNITS.items():
        count, rest = divmod(rest, size)
        if count:
            shown.append(f"{count} {unit}")
    return " ".join(shown[:2]) or "0 s"


def parameters(given: Mapping[str, Any]) -> str:
    """As one would override them: `objective.name=kd objective.temperature=2.1`."""
    return " ".join(f"{key}={setting(value)}" for key, value in given.items())


def setting(value: Any) -> str:
    match value:
        case bool() | None:
            return str(value).lower().replace("none", "null")
        case float():
            return f"{value:.3g}"
        case list() | tuple():
            return "[" + ", ".join(map(setting, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{key}: {setting(below)}" for key, below in value.items()) + "}"
        case _:
            return str(value)


def values(candidate: "Candidate") -> str:
    return ", ".join(f"{name} {show.number(value)}" for name, value in candidate.values.items())


def students(state: "State") -> str:
    """`12 finished, 2 running, 1 failed`."""
    counts = state.counts
    return ", ".join(f"{counts[status]} {word}" for status, word in WORDS.items() if status in counts) or "none"


def candidates(told: int, total: int | None) -> str:
    return f"{told:,}" if total is None else f"{told:,} of {total:,}"


def hourly(rate: float | None) -> str:
    return "" if rate is None else f"{show.number(rate, 0 if rate >= 10 else 1)} an hour"


def sparkline(course: Sequence[float], width: int) -> str:
    """A course of values in at most `width` characters."""
    if len(course) > width:
        course = [course[round(k * (len(course) - 1) / (width - 1))] for k in range(width)]
    low, high = min(course, default=0.0), max(course, default=0.0)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((value - low) * scale)] for value in course)
