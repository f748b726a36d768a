"""What policies kept: how often each category was chosen, and which training rows were used how often."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from selkd.comparison import style
from selkd.comparison.result import Comparison
from selkd.comparison.views import shown
from selkd.comparison.views.files import parquet
from selkd.comparison.views.view import CannotShow, Drawn, View
from selkd.comparison.words import listed

ACCURACIES = ("test/accuracy/", "validation/accuracy/")
MOST_NAMED = 30
MOST_LEVELS, MOST_READ = 12, 5
FIELDS = ["what", "level", "other", "n", "value", "low", "high"]
SHARE, OVERLAP, GINI = "share of uses", "overlap", "concentration"


def category_numbers(comparison: Comparison) -> pd.DataFrame:
    """A row a group, level and category: in how many of the level's students it was chosen.

    A category counts as chosen where the student's accuracy on it was recorded.
    """
    students = shown.chosen(comparison)
    if len(set(students["subset"])) < 2:
        raise CannotShow("all students have the same categories.")
    known = comparison.records.metrics.loc[students.index]
    columns = [str(name) for name in known if str(name).startswith(ACCURACIES)]
    names = list(dict.fromkeys(name.partition("/accuracy/")[2] for name in columns))
    has = pd.DataFrame(
        {
            name: known[[c for c in columns if c.partition("/accuracy/")[2] == name]].notna().any(axis=1)
            for name in names
        }
    )
    has = has.loc[:, has.any()]
    by = has.groupby([students["group"], students["level"]], sort=False)
    counts, n = by.sum().stack(), by.size()
    found = counts.rename("chosen").rename_axis(["group", "level", "category"]).reset_index()
    found["n"] = pd.MultiIndex.from_frame(found[["group", "level"]]).map(n)
    return found.assign(share=found["chosen"] / found["n"])


def draw_categories(comparison: Comparison, numbers: pd.DataFrame) -> Drawn:
    """A panel a group: categories by levels, shaded by the share of students that have them."""
    groups = list(dict.fromkeys(numbers["group"]))[: shown.MOST_GROUPS]
    order = [level for level in shown.levels(comparison) if level in set(numbers["level"])]
    names = shown.by_mean(numbers, "category", "share")
    figure, panels = style.by_group(len(groups), 1.1 + 0.2 * min(len(names), MOST_NAMED))
    if len(groups) == 1 and len(order) > 4:
        figure.set_figwidth(style.PAGE)
    for axes, group in zip(panels, groups, strict=True):
        mine = shown.where(numbers, group=group).pivot(index="category", columns="level", values="share")
        table = mine.reindex(index=names, columns=order).to_numpy(dtype=float)
        _heat(axes, table, names, order, "share of students", percent=True)
        style.label(axes, title=shown.title(group))
    return Drawn(style.finished(figure), _alt_categories(comparison, numbers, groups))


def row_numbers(comparison: Comparison) -> pd.DataFrame:
    """What each level trained on, a mean over students of the first group, in three kinds of rows.

    `share of uses`: of each category (`other`). `overlap` with another level: the Jaccard index of the rows of the
    same split and seed, each row counted as often as it was used (sum of least over sum of most uses).
    `concentration`: the Gini coefficient of the uses of a row, 0 where all are used alike.
    """
    levels = shown.levels(comparison)[:MOST_LEVELS]
    students = shown.read(comparison, levels, MOST_READ)
    students = students.loc[students["group"] == shown.groups(comparison)[0]]
    tables = {run: parquet(comparison.records, str(run), "rows-used.parquet") for run in students.index}
    used = {run: table for run, table in tables.items() if table is not None and np.any(table["used"])}
    if not used:
        raise CannotShow("no shown student recorded which rows it used.")
    students = students.loc[list(used)]
    by_level = {str(level): mine for level, mine in students.groupby("level", sort=False)}
    rows = [row for level, mine in by_level.items() for row in _alone(level, [used[run] for run in mine.index])]
    overlaps = [
        row for one, other in combinations(by_level, 2) for row in _together(one, other, by_level, used)
    ]  # fmt: skip
    found = pd.DataFrame(rows + overlaps, columns=FIELDS)
    spread = found.loc[found["what"] == GINI, "value"]
    if all(row[4] == 1 for row in overlaps) and spread.max() - spread.min() < 1e-12:
        raise CannotShow("all levels used the same rows equally often.")
    return found


def draw_rows(comparison: Comparison, numbers: pd.DataFrame) -> Drawn:
    """Three panels: shares of categories, overlaps, concentration."""
    order = list(dict.fromkeys(numbers["level"]))
    shares, overlaps, gini = (shown.where(numbers, what=what) for what in (SHARE, OVERLAP, GINI))
    names = list(dict.fromkeys(shares["other"]))
    figure = style.figure(style.PAGE, 2.9 + 0.22 * len(order))
    left, middle, right = figure.subplots(1, 3, width_ratios=[1.3, 1.3, 0.8])
    table = shares.pivot(index="level", columns="other", values="value").reindex(index=order, columns=names)
    _heat(left, table.fillna(0.0).to_numpy(dtype=float), order, names, "share of uses", percent=True, top=None)
    pairs = pd.DataFrame(np.eye(len(order)), index=order, columns=order)
    for row in shown.rows(overlaps):
        pairs.loc[row.level, row.other] = pairs.loc[row.other, row.level] = row.value
    _heat(middle, pairs.to_numpy(dtype=float), [""] * len(order), order, "overlap (Jaccard)", percent=True)
    places = np.arange(len(order))
    mine = gini.set_index("level").loc[order]
    right.hlines(places, mine["low"], mine["high"], color=style.COLOURS[0], linewidth=2)
    right.plot(mine["value"], places, "o", color=style.COLOURS[0], markersize=5)
    right.set_yticks(places, [""] * len(order))
    right.set(xlim=(-0.02, 1.02), ylim=(len(order) - 0.5, -0.5))
    right.spines[["top", "right"]].set_visible(False)
    right.grid(alpha=0.25, linewidth=0.6)
    right.tick_params(labelsize=style.SMALL)
    style.label(right, x="Gini coefficient of uses", title="concentration")
    group = shown.title(shown.groups(comparison)[0])
    if group is not None:
        figure.suptitle(group, fontsize=style.NORMAL)
    return Drawn(style.finished(figure), _alt_rows(comparison, numbers))


def _alone(level: str, tables: Sequence[pd.DataFrame]) -> list[tuple[object, ...]]:
    shares = pd.concat(
        [table.groupby("label", sort=True)["used"].sum() / table["used"].sum() for table in tables], axis=1
    )
    values = shares.fillna(0.0)
    found: list[tuple[object, ...]] = [
        (SHARE, level, label, len(tables), float(row.mean()), float(row.min()), float(row.max()))
        for label, row in values.iterrows()
    ]
    spread = np.array([_gini(table["used"].to_numpy(dtype=float)) for table in tables])
    return [*found, (GINI, level, "", len(tables), spread.mean(), spread.min(), spread.max())]


def _together(
    one: str, other: str, by_level: dict[str, pd.DataFrame], used: dict[object, pd.DataFrame]
) -> list[tuple[object, ...]]:
    places = ["cell", "split", "seed"]
    ours = {tuple(row[1:]): row[0] for row in by_level[one][places].itertuples(name=None)}
    theirs = {tuple(row[1:]): row[0] for row in by_level[other][places].itertuples(name=None)}
    found = np.array([_jaccard(used[ours[place]], used[theirs[place]]) for place in ours if place in theirs])
    if not len(found):
        return []
    return [(OVERLAP, one, other, len(found), found.mean(), found.min(), found.max())]


def _jaccard(one: pd.DataFrame, other: pd.DataFrame) -> float:
    both = pd.concat([table.set_index("row")["used"] for table in (one, other)], axis=1).fillna(0.0)
    return float(both.min(axis=1).sum() / both.max(axis=1).sum())


def _gini(uses: np.ndarray) -> float:
    """Half the relative mean absolute difference."""
    ordered, n = np.sort(uses), len(uses)
    return float(((2 * np.arange(1, n + 1) - n - 1) * ordered).sum() / (n * ordered.sum()))


def _heat(
    axes: style.Axes, table: np.ndarray, down: Sequence[str], across: Sequence[str], title: str, *, percent: bool,
    top: float | None = 1.0,
) -> None:  # fmt: skip
    """Shades with their values; in hundredths where `percent`."""
    high = top or float(np.nanmax(table))
    axes.imshow(table, aspect="auto", cmap=style.SHADES, vmin=0, vmax=high)
    axes.tick_params(labelsize=style.SMALL, length=2)
    rows, columns = (range(0, n, -(-n // MOST_NAMED)) for n in table.shape)
    axes.set_yticks(rows, [style.name(down[k], 20) for k in rows])
    axes.set_xticks(
        columns, [style.name(across[k], 16) for k in columns], rotation=45, ha="right", rotation_mode="anchor"
    )
    style.label(axes, title=f"{title} (%)" if percent else title)
    if table.shape[0] <= MOST_NAMED and table.shape[1] <= MOST_LEVELS:
        for (row, column), value in np.ndenumerate(table):
            if np.isfinite(value):
                colour = "black" if value > 0.55 * high else "white"
                shade = f"{100 * value if percent else value:.0f}"
                axes.text(column, row, shade, ha="center", va="center", color=colour, fontsize=style.SMALL)


def _alt_categories(comparison: Comparison, numbers: pd.DataFrame, groups: list[str]) -> str:
    def told(group: str) -> Iterator[str]:
        mine = numbers.loc[(numbers["group"] == group) & (numbers["chosen"] > 0)]
        for level, one in shown.parts(mine, "level"):
            best = one.sort_values("share", ascending=False, kind="stable")
            parts = [f"{shown.called(row.category)} {100 * row.share:.0f} %" for row in shown.rows(best)]
            yield f"{shown.called(str(level))} {listed(parts, 5)}"

    left = shown.left("group", len(groups), len(set(numbers["group"])))
    return f"How often each level's students have each category. {shown.spoken(groups, told)}{left}"


def _alt_rows(comparison: Comparison, numbers: pd.DataFrame) -> str:
    overlaps, gini = (shown.where(numbers, what=what) for what in (OVERLAP, GINI))
    group = shown.title(shown.groups(comparison)[0])
    inside = f" within {group}" if group else ""
    ends = overlaps.sort_values("value", kind="stable").iloc[[0, -1]] if len(overlaps) > 1 else overlaps
    pairs = [
        f"{shown.called(row.level)} and {shown.called(row.other)} {100 * row.value:.0f} %" for row in shown.rows(ends)
    ]
    told = [f"{shown.called(row.level)} {row.value:.2f}" for row in shown.rows(gini)]
    least = f" Least and most alike: {listed(pairs)}." if pairs else ""
    return (
        f"Which training rows each level used{inside}: shares of categories, overlaps, and how concentrated the uses "
        f"are (Gini): {listed(told, len(told))}.{least}"
        f"{shown.left('level', len(gini), len(shown.levels(comparison)))}"
    )


KEPT_CATEGORIES = View(
    "kept-categories", "Which categories were chosen", "students of different categories", category_numbers,
    draw_categories,
)  # fmt: skip
KEPT_ROWS = View("kept-rows", "Which rows were used", "levels that used rows differently", row_numbers, draw_rows)
