"""Chosen on validation: for each level and cell the setting whose mean over seeds and splits is best."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from selkd.comparison.result import Metric
from selkd.comparison.statistics import optimism
from selkd.comparison.tables import Column, Frame
from selkd.comparison.words import counted

PLACE = ["level", "cell"]
TRIED = [*PLACE, "setting"]
TRIAL = [*TRIED, "split", "seed"]


def without_doubles(trials: Frame) -> tuple[Frame, Column]:
    """One run of each student, the last that ended; and why the others are left out."""
    ordered = trials.sort_values("ended", kind="stable", na_position="first")
    double = ordered.duplicated(TRIAL, keep="last")
    kept = trials.loc[~double.reindex(trials.index)]
    return kept, pd.Series("the same student is there again, and that run ended later", index=ordered.index[double])


def choose(trials: Frame, metric: Metric) -> tuple[Frame, Frame, Column]:
    """The trials with `chosen`; of each level and cell what was chosen among what; and why runs are left out.

    Only settings with as many seeds and splits as the fullest are compared: one lucky seed chooses nothing.
    """
    tried = trials.groupby(PLACE, sort=False)["setting"].transform("nunique")
    unknown = (tried > 1) & trials["validation"].isna()
    known = trials[~unknown]
    means = known.groupby(TRIED, sort=False, as_index=False).agg(
        seeds=("validation", "size"), validation=("validation", "mean"), candidate=("candidate", "min")
    )
    means["settings"] = means.groupby(PLACE, sort=False)["setting"].transform("size")
    full = means[means["seeds"] == means.groupby(PLACE, sort=False)["seeds"].transform("max")]
    full = full.assign(full=full.groupby(PLACE, sort=False)["setting"].transform("size"))
    order = full.assign(loss=full["validation"] * (-1 if metric.choose_highest else 1))
    best = order.sort_values(["loss", "candidate"], kind="stable").drop_duplicates(PLACE).set_index(PLACE)
    wanted = pd.MultiIndex.from_frame(best.reset_index()[TRIED])
    chosen = pd.MultiIndex.from_frame(trials[TRIED]).isin(wanted) & ~unknown.to_numpy()
    reasons = pd.Series(
        f"no {metric.chosen_by} to choose a setting by", index=trials.index[unknown.to_numpy()], dtype=object
    )
    best["optimism"] = _optimism(known, full, best.index, metric)
    return trials.assign(chosen=chosen), best, reasons


def _optimism(known: Frame, full: Frame, places: Any, metric: Metric) -> list[float]:
    """Of each level and cell: by how much the best of its settings looks better on validation than it is."""
    several = known.merge(full.loc[full["full"] > 1, TRIED], on=TRIED)
    several["unit"] = several.groupby(["split", "seed"], sort=False).ngroup()
    found = dict.fromkeys(places, 0.0)
    for place, mine in several.groupby(PLACE, sort=False):
        scores = _scores(mine)
        complete = scores[:, np.isfinite(scores).all(0)]
        enough = complete.shape[1] > 1
        found[place] = optimism(complete, higher_is_better=metric.choose_highest).value if enough else math.nan
    return list(found.values())


def _scores(trials: Frame) -> np.ndarray:
    """Validation values [settings, seeds and splits], NaN where a setting has none."""
    setting, settings = pd.factorize(trials["setting"])
    unit, units = pd.factorize(trials["unit"])
    found = np.full((len(settings), len(units)), math.nan)
    found[setting, unit] = trials["validation"].to_numpy(dtype=float)
    return found


def few_seeds(best: Frame) -> Sequence[str]:
    """How many settings had fewer seeds than others and so could not be chosen."""
    short = int((best["settings"] - best["full"]).sum())
    return [f"{counted(short, 'setting')} with fewer seeds than others could not be chosen."] if short else []
