"""Chosen on validation: for each level and cell the setting whose mean over seeds and splits is best."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from selkd.comparison.result import Metric
from selkd.comparison.statistics import optimism
from selkd.comparison.tables import Column, Frame
from selkd.comparison.words import counted, listed

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
    order = full.assign(loss=full["validation"] * (-1 if metric.choose_highest else 1))
    best = order.sort_values(["loss", "candidate"], kind="stable").drop_duplicates(PLACE).set_index(PLACE)
    wanted = pd.MultiIndex.from_frame(best.reset_index()[TRIED])
    chosen = pd.MultiIndex.from_frame(trials[TRIED]).isin(wanted) & ~unknown.to_numpy()
    reasons = pd.Series(
        f"no {metric.chosen_by} to choose a setting by", index=trials.index[unknown.to_numpy()], dtype=object
    )
    return trials.assign(chosen=chosen), best.join(_choices(known, means, best, metric)), reasons


class Choice(NamedTuple):
    """What a setting was chosen from; by default nothing was chosen."""

    rivals: int = 1  # settings, itself among them
    at: int = 0  # seeds that each of them had
    optimism: float = 0.0  # by how much its validation mean looks better than it is


def _choices(known: Frame, means: Frame, best: Frame, metric: Metric) -> Frame:
    """Of each level and cell the `Choice`: among the settings that have as many seeds as the second fullest.

    One that alone has most was chosen among those, and then got more (`selkd sweep --extend`).
    """
    second = means.sort_values("seeds", ascending=False).groupby(PLACE).nth(1)
    rivals = means.merge(second[[*PLACE, "seeds"]].rename(columns={"seeds": "at"}), on=PLACE)
    several = known.merge(rivals.loc[rivals["seeds"] >= rivals["at"], [*TRIED, "at"]], on=TRIED)
    several["unit"] = several.groupby(["split", "seed"], sort=False).ngroup()
    found = dict.fromkeys(best.index, Choice())
    for place, mine in several.groupby(PLACE, sort=False):
        found[place] = _choice(mine, best.at[place, "setting"], best.at[place, "seeds"], metric)
    return pd.DataFrame(found.values(), index=best.index)


def _choice(trials: Frame, setting: str, seeds: int, metric: Metric) -> Choice:
    """Only the seeds that a setting was chosen at flatter it: those that it got later dilute that."""
    scores, settings = _scores(trials)
    complete, at = scores[:, np.isfinite(scores).all(0)], int(trials["at"].iloc[0])
    means = complete.mean(1) * (1 if metric.choose_highest else -1) if complete.size else np.zeros(len(settings))
    if at < seeds and means[list(settings).index(setting)] < means.max():
        return Choice()  # the others were better, and failed later
    if complete.shape[1] < 2:
        return Choice(len(settings), at, math.nan)
    found = optimism(complete, higher_is_better=metric.choose_highest)
    return Choice(len(settings), at, found.value * at / seeds)


def _scores(trials: Frame) -> tuple[np.ndarray, Any]:
    """Validation values [settings, seeds and splits], NaN where a setting has none; and the settings."""
    setting, settings = pd.factorize(trials["setting"])
    unit, units = pd.factorize(trials["unit"])
    found = np.full((len(settings), len(units)), math.nan)
    found[setting, unit] = trials["validation"].to_numpy(dtype=float)
    return found, settings


def few_seeds(best: Frame) -> Iterator[str]:
    """Settings that could not be chosen for want of seeds, and those that got more once they were."""
    short = int((best["settings"] - best["rivals"]).sum())
    if short:
        yield f"{counted(short, 'setting')} with fewer seeds than others could not be chosen."
    later = best[(best["rivals"] > 1) & (best["at"] < best["seeds"])]
    if len(later):
        first, last = (listed([str(n) for n in sorted(set(later[name]))]) for name in ("at", "seeds"))
        yield f"Settings were chosen at {first} seeds; those that were got more, {last} in all."
