"""What the search found: which keys mattered, and how the metric moves along each."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from selkd.comparison import style
from selkd.comparison.factors import in_order
from selkd.comparison.result import Comparison
from selkd.comparison.views import shown
from selkd.comparison.views.view import CannotShow, Drawn, View
from selkd.comparison.words import ABSENT, listed, number, text

MOST_STUDENTS, TREES, REPEATS, FOLDS = 2000, 50, 5, 5
FEWEST_STUDENTS = 12
"""Students below which a forest says nothing."""
MOST_SLICES = 6
BINS = 30


def importance_numbers(comparison: Comparison) -> pd.DataFrame:
    """A row a key: by how much the R² of a random forest falls when the key's values are shuffled.

    The forest (Breiman 2001) learns the validation metric of some seeds from the keys that vary and is asked about the
    students of the others, so that luck counts for nothing; `low` and `high` are the least and the most over folds.
    `predicted` is the share of variance that the forest explains of held-out seeds.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import GroupKFold

    trials = _scored(comparison)
    keys = _keys(comparison, trials.index)
    if not keys:
        raise CannotShow("no key varies but seeds.")
    if len(trials) < FEWEST_STUDENTS:
        raise CannotShow(f"{len(trials)} students are too few to learn importances from; {FEWEST_STUDENTS} are needed.")
    blocks = trials.groupby(["split", "seed"], sort=False).ngroup().to_numpy()
    blocks = blocks if len(set(blocks)) > 1 else np.arange(len(trials))
    inputs = np.column_stack([_coded(comparison, key, trials.index) for key in keys])
    target = trials["validation"].to_numpy(dtype=float)
    if target.std() == 0:
        raise CannotShow("all students have the same validation value.")
    falls, predicted = [], []
    for train, held in GroupKFold(min(FOLDS, len(set(blocks)))).split(inputs, target, blocks):
        if len(held) < 2 or target[held].std() == 0:
            continue
        forest = RandomForestRegressor(TREES, min_samples_leaf=2, random_state=0).fit(inputs[train], target[train])
        predicted.append(forest.score(inputs[held], target[held]))
        shuffled = permutation_importance(forest, inputs[held], target[held], n_repeats=REPEATS, random_state=0)
        falls.append(shuffled["importances_mean"])
    if not falls:
        raise CannotShow("no held-out seeds differ in their validation value.")
    spread = np.array(falls)
    found = pd.DataFrame(
        {
            "key": keys,
            "importance": spread.mean(0),
            "low": spread.min(0),
            "high": spread.max(0),
            "predicted": float(np.mean(predicted)),
            "students": len(trials),
        }
    )
    return found.sort_values("importance", ascending=False, kind="stable").reset_index(drop=True)


def draw_importance(comparison: Comparison, numbers: pd.DataFrame) -> Drawn:
    """A bar a key, the most important first."""
    mine = numbers.head(2 * MOST_SLICES)
    figure = style.figure(style.COLUMN, 0.8 + 0.24 * len(mine))
    axes = style.panels(figure, 1, 1)[0][0]
    places = np.arange(len(mine))
    axes.barh(places, mine["importance"], color=style.COLOURS[0], height=0.6)
    axes.hlines(places, mine["low"], mine["high"], color="black", linewidth=1.2)
    axes.set_yticks(places, [style.name(key) for key in mine["key"]])
    axes.set_ylim(len(mine) - 0.5, -0.5)
    style.label(axes, x="fall of R² when shuffled\n(line: least to most over folds)")
    told = [f"{row.key} {row.importance:.2f} ({row.low:.2f} to {row.high:.2f})" for row in shown.rows(mine)]
    alt = (
        f"Permutation importance of each key (fall of R²) in a random forest that predicts "
        f"{comparison.metric.chosen_by} of held-out seeds, learned from {numbers['students'].max()} students; it "
        f"explains {number(float(np.max(numbers['predicted'])), 2)} of the variance: "
        f"{listed(told, 8)}."
    )
    return Drawn(style.finished(figure), alt)


def slice_numbers(comparison: Comparison) -> pd.DataFrame:
    """A row a key, group, level and setting: the key's value, the mean validation metric over seeds, and `chosen`."""
    if not comparison.pairing.tuned:
        raise CannotShow("nothing was tuned: every level has one setting.")
    trials = shown.in_groups(comparison, _scored(comparison))
    parts = []
    for key in comparison.pairing.tuned:
        values = [text(value) for value in comparison.records.config.loc[trials.index, key]]
        mine = trials.assign(value=values)
        mine = mine.loc[mine["value"] != ABSENT]
        several = mine.groupby("level")["value"].transform("nunique") > 1
        part = mine[several].groupby(["group", "level", "setting", "value"], sort=False)
        found = part.agg(n=("validation", "size"), mean=("validation", "mean"), chosen=("chosen", "any")).reset_index()
        parts.append(found.assign(key=key))
    found = pd.concat(parts, ignore_index=True)
    if found.empty:
        raise CannotShow("no level has several values of a key that was tuned.")
    return found.loc[:, ["key", "group", "level", "value", "setting", "n", "mean", "chosen"]]


def draw_slices(comparison: Comparison, numbers: pd.DataFrame) -> Drawn:
    """A panel a key; a dot a setting, a ring around the chosen ones."""
    keys = list(dict.fromkeys(numbers["key"]))
    drawn, looks = keys[:MOST_SLICES], style.looks(shown.levels(comparison))
    groups = list(dict.fromkeys(numbers["group"]))[: shown.MOST_GROUPS]
    by = {(group, key): shown.where(numbers, group=group, key=key) for group in groups for key in drawn}
    places = [place for place, mine in by.items() if len(mine)]
    columns = min(2, len(places))
    rows = -(-len(places) // columns)
    figure = style.figure(style.COLUMN if columns == 1 else style.PAGE, 2.2 * rows + 0.4)
    panels = [axes for row in style.panels(figure, rows, columns, sharey=True) for axes in row]
    unit = 100.0 if comparison.metric.share else 1.0
    for axes in panels[len(places) :]:
        axes.set_visible(False)
    for axes, place in zip(panels, places, strict=False):
        _slice(axes, by[place], looks, unit)
        style.label(axes, x=style.name(place[1], 36), title=shown.title(place[0]) if len(groups) > 1 else None)
    words = comparison.metric.chosen_by.replace("/", " ").replace("_", " ")
    for axes in style.first_column(panels):
        style.label(axes, y=words + (" (%)" if comparison.metric.share else ""))
        style.say_cut(axes, "y")
    levels = [level for level in looks if level in set(numbers["level"])]
    key = [Line2D([], [], marker=looks[one].marker, color=looks[one].colour, linestyle="") for one in levels]
    key.append(Line2D([], [], marker="o", color="black", markerfacecolor="none", markersize=10, linestyle=""))
    style.legend(figure, key, [*levels, "chosen"])
    return Drawn(style.finished(figure), _alt(comparison, numbers, len(drawn), len(keys)))


def _slice(axes: style.Axes, mine: pd.DataFrame, looks: dict[str, style.Look], unit: float) -> None:
    values = in_order(list(dict.fromkeys(mine["value"])))
    measured = pd.Series(pd.to_numeric(pd.Series(values), errors="coerce"), dtype=float)
    numeric = bool(measured.notna().all()) and len(values) > 1
    at = dict(zip(values, measured if numeric else range(len(values)), strict=True))
    for row in shown.rows(mine):
        look = looks[row.level]
        axes.plot(at[row.value], unit * row.mean, look.marker, color=look.colour, markersize=5, alpha=0.8)
        if row.chosen:
            axes.plot(at[row.value], unit * row.mean, "o", color="black", markerfacecolor="none", markersize=10)
    if numeric and measured.min() > 0 and measured.max() >= 8 * measured.min():
        style.log_axis(axes, "x")
    if len(values) <= BINS // 4:
        axes.set_xticks(list(at.values()), [style.name(_brief(value), 14) for value in values])
        axes.minorticks_off()
    if not numeric:
        axes.set_xlim(-0.5, len(values) - 0.5)


def _scored(comparison: Comparison) -> pd.DataFrame:
    trials = comparison.trials.loc[comparison.trials["validation"].notna()]
    if len(trials) > MOST_STUDENTS:
        trials = trials.sample(MOST_STUDENTS, random_state=0)
    return trials


def _keys(comparison: Comparison, runs: pd.Index) -> list[str]:
    """The keys that vary, but for seeds and splits: the factor, what makes groups, and what was tuned."""
    pairing = comparison.pairing
    known = dict.fromkeys([*comparison.question.keys, *pairing.groups, *pairing.tuned])
    config = comparison.records.config
    return [key for key in known if key in config and len({text(value) for value in config.loc[runs, key]}) > 1]


def _coded(comparison: Comparison, key: str, runs: pd.Index) -> np.ndarray:
    """Numbers as they are, words by their place; what a run lacks is unknown to the forest too."""
    words: Sequence[str] = [text(value) for value in comparison.records.config.loc[runs, key]]
    order = in_order(sorted({word for word in words if word != ABSENT}))
    try:
        codes = {word: float(word) for word in order}
    except ValueError:
        codes = {word: float(place) for place, word in enumerate(order)}
    return np.array([codes.get(word, np.nan) for word in words])


def _brief(value: str) -> str:
    """A number in few digits."""
    try:
        return f"{float(value):.3g}"
    except ValueError:
        return value


def _alt(comparison: Comparison, numbers: pd.DataFrame, drawn: int, there: int) -> str:
    unit = 100.0 if comparison.metric.share else 1.0
    best = numbers.loc[numbers["chosen"]]
    told = [
        f"{row.key} = {shown.called(_brief(row.value))} for {shown.called(row.level)} ({unit * row.mean:.3g})"
        for row in shown.rows(best)
    ]
    return (
        f"{comparison.metric.chosen_by} of every setting, a mean over seeds, along each key that was tuned. Chosen: "
        f"{listed(told, 6)}.{shown.left('key', drawn, there)}"
    )


IMPORTANCES = View(
    "importances", "Which keys mattered", f"{FEWEST_STUDENTS} students and a key that varies", importance_numbers,
    draw_importance,
)  # fmt: skip
SLICES = View("slices", "The metric along each tuned key", "a key that was tuned", slice_numbers, draw_slices)
