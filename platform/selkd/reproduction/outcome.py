"""How alike two students are: their histories, weights, answers and final metrics."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from selkd.files import read_json
from selkd.models.card import CARD
from selkd.tracking import TrialRecord
from selkd.training.evaluation import SCORES

Mode = Literal["closed", "open"]
Verdict = Literal["identical", "within tolerance", "different"]

TIMES = ("train/rows_per_second", "cost/latency_ms")
"""What is measured with a clock is never the same twice."""
PARTS = ("validation", "test")


@dataclass(frozen=True)
class Answers:
    """Rows of a part, how many of them are answered otherwise, and the largest difference of a logit."""

    rows: int
    otherwise: int
    largest: float

    @property
    def same(self) -> bool:
        return self.otherwise == 0 and self.largest == 0


@dataclass(frozen=True)
class Likeness:
    """What is the same, and what is not; the recorded value comes first in every pair."""

    first: str | None  # the first thing of the training that differs
    weights: bool | None  # whether they are the same bytes; nothing where the record has none
    answers: Mapping[str, Answers] = field(default_factory=dict)  # by part; without those the record lacks
    scores: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    changed: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # every final metric that differs

    @property
    def identical(self) -> bool:
        alike = all(answers.same for answers in self.answers.values())
        return self.first is None and self.weights is not False and alike and not self.changed

    def verdict(self, tolerance: float) -> Verdict:
        """Identical to the last bit; else judged by the scores, which may differ by `tolerance`."""
        if self.identical:
            return "identical"
        near = all(_same(a, b) or abs(a - b) <= tolerance for a, b in self.scores.values())
        return "within tolerance" if tolerance > 0 and near else "different"


def compare(recorded: TrialRecord, again: TrialRecord, mode: Mode) -> Likeness:
    """The likeness of a recorded student and the one that was trained again."""
    before, now = recorded.metrics, again.metrics
    names = [name for name in {**before, **now} if name not in TIMES]
    pairs = {name: (before.get(name, math.nan), now.get(name, math.nan)) for name in names}
    answers = {part: _answers(recorded.folder, again.folder, part) for part in PARTS}
    likeness = Likeness(
        first=next(_course(recorded.history(), again.history()), None),
        weights=_weights(recorded.folder, again.folder),
        answers={part: found for part, found in answers.items() if found is not None},
        scores={name: pairs[name] for name in (f"{part}/{SCORES[mode]}" for part in PARTS) if name in pairs},
        changed={name: pair for name, pair in pairs.items() if not _same(*pair) or (name in before) != (name in now)},
    )
    return likeness if likeness.first is not None else replace(likeness, first=_after_training(likeness))


def _after_training(likeness: Likeness) -> str | None:
    """The first thing that differs where the metrics of every epoch are the same."""
    if likeness.weights is False:
        return "the weights, after epochs whose metrics are the same"
    if part := next((part for part, answers in likeness.answers.items() if not answers.same), None):
        return f"the answers on {part}, after epochs whose metrics are the same"
    for name, (before, now) in likeness.changed.items():
        return f"{name}: {before:.9g} when recorded, {now:.9g} now, of answers that are the same"
    return None


def _course(before: pd.DataFrame, now: pd.DataFrame) -> Iterator[str]:
    """Every metric of an epoch that differs, in the order of training."""
    epochs, again = before.to_dict("index"), now.to_dict("index")
    for step in sorted({*epochs, *again}):
        if step not in epochs or step not in again:
            yield f"epoch {step}, which was trained only {'when recorded' if step in epochs else 'now'}"
            continue
        for name, value in epochs[step].items():
            other = again[step].get(name, math.nan)
            if name not in TIMES and not _same(value, other):
                yield f"epoch {step}, {name}: {value:.9g} when recorded, {other:.9g} now"


def _answers(before: Path, now: Path, part: str) -> Answers | None:
    name = f"predictions-{part}.parquet"
    if not (before / name).is_file():
        return None
    a, b = pd.read_parquet(before / name), pd.read_parquet(now / name)
    scores, others = ([column for column in frame if column.startswith("score/")] for frame in (a, b))
    if scores != others or not a["row"].equals(b["row"]):
        return Answers(len(a), len(a), math.inf)  # another task, or other rows
    largest = float((a[scores] - b[scores]).abs().to_numpy().max(initial=0.0))
    return Answers(len(a), int(np.count_nonzero(a["prediction"] != b["prediction"])), largest)


def _weights(before: Path, now: Path) -> bool | None:
    cards = [folder / "student" / CARD for folder in (before, now)]
    if not cards[0].is_file():
        return None
    first, second = (read_json(card)["weights_sha256"] for card in cards)
    return first == second


def _same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))
