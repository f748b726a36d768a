"""By how much each level differs from the baseline, or from the best level, with intervals: a forest plot."""

from collections.abc import Iterator

import pandas as pd
from matplotlib.lines import Line2D

from selkd.comparison import style
from selkd.comparison.result import ALL, Comparison
from selkd.comparison.views import shown
from selkd.comparison.views.view import CannotShow, Drawn, View

FIELDS = ["group", "level", "against", "pairs", "difference", "low", "high", "adjusted", "told"]


def numbers(comparison: Comparison) -> pd.DataFrame:
    """A row a contrast with the reference: the baseline, or else the level with the best mean rank."""
    order = shown.levels(comparison)
    if len(order) < 2:
        raise CannotShow(f"{comparison.question.by} has one value: there is nothing to differ from.")
    reference = comparison.question.baseline or order[0]
    rows = []
    for one in comparison.contrasts:
        if reference not in (one.level, one.against) or not one.pairs:
            continue
        level, sign = (one.level, 1) if one.against == reference else (one.against, -1)
        low, high = sorted((sign * one.low, sign * one.high))
        rows.append(
            (one.group, level, reference, one.pairs, sign * one.difference, low, high, one.adjusted, bool(one.better))
        )
    if not rows:
        raise CannotShow(f"no level shares a pair with {reference}.")
    return pd.DataFrame(rows, columns=FIELDS)


def draw(comparison: Comparison, numbers: pd.DataFrame) -> Drawn:
    """A panel a group, all groups first; filled where a level is told from the reference."""
    unit, reference = comparison.metric.unit, numbers["against"].iloc[0]
    order = [level for level in shown.levels(comparison) if level != reference]
    order_of_groups = [ALL, *shown.groups(comparison)]
    there = sorted(dict.fromkeys(numbers["group"]), key=order_of_groups.index)
    groups, looks = there[: shown.MOST_GROUPS], style.looks(shown.levels(comparison))
    figure, panels = style.by_group(len(groups), 0.95 + 0.24 * len(order), sharey=True)
    for axes, group in zip(panels, groups, strict=True):
        axes.axvline(0, color="black", linewidth=1)
        for row in shown.rows(shown.where(numbers, group=group)):
            place, look = order.index(row.level), looks[row.level]
            axes.plot([unit * row.low, unit * row.high], [place, place], color=look.colour, linewidth=2)
            axes.plot(
                unit * row.difference, place, look.marker, color=look.colour, markersize=7,
                markerfacecolor=look.colour if row.told else "white", markeredgewidth=1.4,
            )  # fmt: skip
        axes.set_yticks(range(len(order)), [style.name(level) for level in order])
        style.label(axes, x=shown.differences(comparison, style.name(reference)))
        style.label(axes, title=(shown.title(group) or "over all groups") if len(groups) > 1 else None)
    panels[0].set_ylim(len(order) - 0.5, -0.5)
    key = [
        Line2D([], [], marker="o", color=style.GREY, linewidth=2, markerfacecolor=face, markeredgewidth=1.4)
        for face in (style.GREY, "white")
    ]
    style.legend(figure, key, [f"told from {style.name(reference)}", "not told"], columns=2)
    return Drawn(style.finished(figure), _alt(comparison, numbers, groups, len(there)))


def _alt(comparison: Comparison, numbers: pd.DataFrame, groups: list[str], there: int) -> str:
    def told(group: str) -> Iterator[str]:
        for row in shown.rows(shown.where(numbers, group=group)):
            yield (
                f"{shown.called(row.level)} {shown.amount(comparison, row.difference)} "
                f"({shown.amount(comparison, row.low)} to {shown.amount(comparison, row.high)}; "
                f"{'told' if row.told else 'not told'})"
            )

    words = shown.differences(comparison, shown.called(numbers["against"].iloc[0]))
    return f"{words}, with intervals. {shown.spoken(groups, told)}{shown.left('group', len(groups), there)}"


DIFFERENCES = View(
    "differences", "Differences, with intervals", "two levels that share pairs", numbers, draw
)  # fmt: skip
