"""The card of a promoted student in Markdown: what it does, how well, and what it is not for."""

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from selkd.data.tasks import NOT_SELECTED
from selkd.promotion.measured import Estimate
from selkd.tracking import StudentCard

MOST = 5000
"""Characters that MLflow keeps of a description."""
ROOM = 700
"""Characters of names in a list, beyond which they are counted."""


@dataclass(frozen=True)
class Origin:
    """Where a student comes from."""

    trial: str
    run_id: str
    config: dict[str, Any]
    provenance: dict[str, Any]
    others: tuple[str, ...]  # categories of the data that the student must reject
    test_reads: int


def markdown(card: StudentCard, measured: Sequence[Estimate], origin: Origin) -> str:
    """The whole card, with as much of it as MLflow keeps: recalls of categories leave first."""
    head, tail = _head(card, origin), _tail(card, origin)
    for shown in (len(measured), 40, 10, 3):
        text = "\n\n".join([*head, _table(measured[:shown], len(measured) - shown), *tail])
        if len(text) <= MOST:
            return text
    return text[: MOST - 4] + " ..."


def plain(text: str) -> str:
    """Text that Markdown and HTML show as it is."""
    one_line = " ".join(html.escape(text, quote=False).split())
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", one_line)


def _head(card: StudentCard, origin: Origin) -> list[str]:
    side = card.image_size
    colours = {1: "grey", 3: "RGB"}.get(card.channels, f"{card.channels} channels")
    data = plain(str(origin.config["data"]["source"]))
    return [
        f"**Task.** Says which of {len(card.categories)} categories an image shows: {_listed(card.categories)}."
        + (f' Or answers "{NOT_SELECTED}".' if card.mode == "open" else ""),
        f"**Rejects.** {_rejects(card, origin)}",
        f"**Input.** Images of {side} x {side} pixels, {colours}, values in [0, 1]; `selkd predict` reads, cuts "
        f"and scales image files. **Data.** {data}. **Architecture.** {plain(card.architecture)}.",
    ]


def _rejects(card: StudentCard, origin: Origin) -> str:
    if card.threshold is None:
        return "Nothing: every image is given one of the categories, whatever it shows."
    others = f" ({_listed(origin.others)})" if origin.others else ""
    return (
        f'Images whose acceptance, 1 less the probability of "{NOT_SELECTED}", is below {card.threshold:.4f}, a '
        f"threshold set on validation rows. It learned to reject the other categories of its data{others}."
    )


def _table(measured: Sequence[Estimate], left_out: int) -> str:
    rows = ["| test rows | value | 95 % interval | rows |", "|---|---|---|---|"]
    rows += [
        f"| {plain(one.name)} | {one.value:.3f} | {one.low:.3f} to {one.high:.3f} | {one.rows:,} |" for one in measured
    ]
    text = "\n".join(rows)
    return text if left_out <= 0 else f"{text}\n\n{left_out:,} more categories are in the run's metrics."


def _tail(card: StudentCard, origin: Origin) -> list[str]:
    limits = [
        "Measured on test rows of the data it was trained on. Other cameras, times or places were not measured.",
        "Intervals (Wilson; the balanced value: MOVER) speak of the test rows, not of the luck of training: this "
        "is one seed.",
    ]
    if origin.test_reads > 1:
        limits.append(f"The test rows were read {origin.test_reads} times; what was chosen by them is flattered.")
    if card.mode == "open":
        limits.append("What resembles none of its data, rejected categories included, was not measured.")
    return ["**Limits**", "\n".join(f"- {line}" for line in limits), "**Provenance**", _provenance(card, origin)]


def _provenance(card: StudentCard, origin: Origin) -> str:
    begun, config = origin.provenance, origin.config
    git, prints, versions = (begun.get(name) or {} for name in ("git", "fingerprints", "versions"))
    commit = f"{git['commit']}{' with uncommitted changes' if git['dirty'] else ''}" if git else "unknown"
    lines = {
        "trial": origin.trial,
        "run of MLflow": origin.run_id,
        "objective": config["objective"]["name"],
        "seed": config["seed"],
        "teacher": f"{config['teacher']} ({prints.get('teacher') or 'unknown'})" if config["teacher"] else "none",
        "data": prints.get("data") or "unknown",
        "weights, SHA-256": card.weights_sha256,
        "code": commit,
        "versions": ", ".join(f"{name} {versions[name]}" for name in ("selkd", "torch") if versions.get(name)),
    }
    return "\n".join(f"- {name}: {plain(str(value))}" for name, value in lines.items())


def _listed(names: Iterable[str]) -> str:
    every = [plain(name) for name in names]
    ends = accumulate(len(name) + 2 for name in every)
    shown = [name for name, end in zip(every, ends, strict=True) if end <= ROOM]
    more = [f"{len(every) - len(shown):,} more"] if len(shown) < len(every) else []
    return ", ".join([*shown, *more])
