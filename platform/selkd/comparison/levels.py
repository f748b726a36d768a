"""What is shown of each level within each group: means, intervals, budgets, ranks."""

import math
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pandas as pd

from selkd.comparison.factors import in_order
from selkd.comparison.question import Question
from selkd.comparison.records import Records
from selkd.comparison.result import Contrast, Metric
from selkd.comparison.statistics import interval
from selkd.comparison.tables import Column, Frame

UNEQUAL = 0.01
"""How much more of its budget a level may use than the thriftiest one and still count as equal."""
SPENT = ("cost/row_gradients", "cost/rows_scored")


def table(
    trials: Frame,
    best: Frame,
    clusters: Mapping[object, Hashable],
    records: Records,
    metric: Metric,
    question: Question,
) -> Frame:
    """A row a group and level; `clusters` says which runs are no luck of their own."""
    chosen = trials[trials["chosen"] & trials["value"].notna()]
    chosen = chosen.assign(budget=_budget(records, chosen.index), seconds=_seconds(records, chosen.index))
    picks = best.to_dict("index")
    floor, ceiling = metric.bounds
    rows = []
    for (group, level), mine in chosen.groupby(["group", "level"], sort=False):
        values = mine["value"].to_numpy(dtype=float)
        around = interval(values, [clusters[run] for run in mine.index], level=1 - question.alpha)
        picked = [picks[level, cell] for cell in dict.fromkeys(mine["cell"])]
        names = list(dict.fromkeys(pick["setting"] for pick in picked))
        rows.append(
            {
                "group": group,
                "level": level,
                "n": len(values),
                "mean": float(values.mean()),
                "median": float(np.median(values)),
                "low": max(around.low, floor),
                "high": min(around.high, ceiling),
                "deviation": float(values.std(ddof=1)) if len(values) > 1 else math.nan,
                "validation": float(mine["validation"].mean()),
                "optimism": float(np.mean([pick["optimism"] for pick in picked])),
                "setting": names[0] if len(names) == 1 else f"{len(names)} settings, one for each subset",
                "settings": max(pick["settings"] for pick in picked),
                "budget": float(mine["budget"].mean()),
                "seconds": float(mine["seconds"].median()),  # one that was interrupted waited for hours
            }
        )
    found: Frame = pd.DataFrame(rows, columns=COLUMNS)
    most = (1 + UNEQUAL) * found["budget"].groupby(found["group"]).min()
    found["unequal"] = found["budget"] > found["group"].map(most)
    found["rank"] = found.groupby("group")["mean"].rank(ascending=not metric.maximise, method="min").astype(int)
    order = in_order(sorted(set(trials["group"])))
    found = found.sort_values("rank", kind="stable").sort_values(
        "group", key=lambda names: names.map(order.index), kind="stable"
    )
    return found.reset_index(drop=True)


COLUMNS = (
    "group", "level", "n", "mean", "median", "low", "high", "deviation", "validation", "optimism", "setting",
    "settings", "budget", "seconds",
)  # fmt: skip


def marked(levels: Frame, contrasts: Sequence[Contrast], baseline: str | None) -> Frame:
    """The table with stars at levels that are told from the baseline, or from the best of their group."""
    stars = {(one.group, frozenset((one.level, one.against))): one.marks for one in contrasts}
    best = levels.drop_duplicates("group").set_index("group")["level"]
    marks = [
        stars.get((group, frozenset((level, baseline or best[group]))), "")
        for group, level in zip(levels["group"], levels["level"], strict=True)
    ]
    return levels.assign(mark=marks)


def _budget(records: Records, runs: pd.Index) -> Column:
    """Rows that each student was trained on or that were scored to choose them."""
    known = [name for name in SPENT if name in records.metrics]
    if not known:
        return pd.Series(math.nan, index=runs)
    return records.metrics.loc[runs, known].sum(axis=1, min_count=1)


def _seconds(records: Records, runs: pd.Index) -> Column:
    times = records.trials.loc[runs]
    return (pd.to_datetime(times["ended"]) - pd.to_datetime(times["began"])).dt.total_seconds()
