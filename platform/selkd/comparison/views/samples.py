"""Which samples each level kept: every training row of one student a level, by category, and how often it was used."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from selkd.comparison import style
from selkd.comparison.result import Comparison
from selkd.comparison.views import shown
from selkd.comparison.views.files import parquet
from selkd.comparison.views.view import CannotShow, Drawn, View
from selkd.comparison.words import counted, listed

MOST_LEVELS, MOST_CATEGORIES = 12, 24
FIELDS = ["level", "run", "row", "label", "used"]


def numbers(comparison: Comparison) -> pd.DataFrame:
    """A row a level and training row: its place in the data set, its label, and how often it was used.

    One student a level, all of the same split and seed where one has them all. Rows are in the order of the figure.
    """
    parts = []
    for level, run in shown.one_each(comparison, MOST_LEVELS).items():
        table = parquet(comparison.records, run, "rows-used.parquet")
        if table is not None and np.any(table["used"]):
            parts.append(table.assign(level=level, run=run)[FIELDS])
    if not parts:
        raise CannotShow("no shown student recorded which rows it used.")
    found = pd.concat(parts, ignore_index=True)
    if _alike(found.pivot(index="row", columns="level", values="used")):
        raise CannotShow("all levels used the same rows equally often.")
    of_row = found.groupby(["label", "row"])["used"].transform("sum")
    ordered = found.assign(most=-of_row).sort_values(["label", "most", "row"], kind="stable")
    return ordered.drop(columns="most").reset_index(drop=True)


def _alike(used: pd.DataFrame) -> bool:
    """Whether levels, a column each, used every row equally often; of a single level, whether it kept all alike."""
    if len(used.columns) == 1:
        return used.iloc[:, 0].nunique() == 1
    return bool(np.all(used.notna())) and bool(np.all(used.nunique(axis=1) == 1))


def draw(comparison: Comparison, numbers: pd.DataFrame) -> Drawn:
    """A line of shades a level; within a category the rows that all levels together used most come first."""
    rows = numbers.drop_duplicates("row")
    levels = [level for level in shown.levels(comparison) if level in set(numbers["level"])]
    table = numbers.pivot(index="level", columns="row", values="used").reindex(index=levels, columns=rows["row"])
    figure = style.figure(style.PAGE, 1.3 + 0.3 * len(levels))
    axes = figure.subplots()
    axes.set_facecolor("white")
    image = axes.imshow(
        np.ma.masked_invalid(table.to_numpy(dtype=float)), aspect="auto", cmap=style.SHADES, vmin=0,
        interpolation="nearest",
    )  # fmt: skip
    axes.tick_params(labelsize=style.SMALL, length=2)
    axes.set_yticks(range(len(levels)), [style.name(level) for level in levels])
    sizes = rows.groupby("label", sort=False).size()
    ends = np.cumsum(sizes.to_numpy())
    for end in ends[:-1]:
        axes.axvline(end - 0.5, color="white", linewidth=1.5)
    for place in range(1, len(levels)):
        axes.axhline(place - 0.5, color="white", linewidth=1.5)
    places, names = ends - sizes.to_numpy() / 2 - 0.5, [style.name(str(label), 16) for label in sizes.index]
    every = -(-len(names) // MOST_CATEGORIES)
    axes.set_xticks(places[::every], names[::every], rotation=45, ha="right", rotation_mode="anchor")
    bar = figure.colorbar(image, ax=axes)
    bar.ax.tick_params(labelsize=style.SMALL)
    bar.set_label("times used", fontsize=style.SMALL)
    style.label(axes, x="training rows by category", title=shown.title(shown.groups(comparison)[0]))
    return Drawn(style.finished(figure), _alt(comparison, numbers, levels))


def _alt(comparison: Comparison, numbers: pd.DataFrame, levels: list[str]) -> str:
    def told() -> Iterator[str]:
        for level in levels:
            used = shown.where(numbers, level=level)["used"].to_numpy()
            most = counted(int(used.max()), "time")
            yield f"{shown.called(level)} used {(used > 0).sum():,} of {len(used):,}, each {most} at most"

    group = shown.title(shown.groups(comparison)[0])
    inside = f" within {group}" if group else ""
    return (
        f"Which training rows one student of each level used{inside}, and how often: {listed(list(told()), 6)}."
        f"{shown.left('level', len(levels), len(shown.levels(comparison)))}"
    )


KEPT_SAMPLES = View(
    "kept-samples", "Which samples were kept", "levels that used rows differently", numbers, draw
)  # fmt: skip
