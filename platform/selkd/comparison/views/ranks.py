"""Mean ranks of three levels or more, and which are too close to be told apart (Demšar 2006, figure 1)."""

import pandas as pd

from selkd.comparison import style
from selkd.comparison.result import Comparison
from selkd.comparison.views import shown
from selkd.comparison.views.view import CannotShow, Drawn, View
from selkd.comparison.words import listed


def numbers(comparison: Comparison) -> pd.DataFrame:
    """A row a level, the best first: its mean rank, and the sets of levels alike that it is in."""
    overall = comparison.overall
    if comparison.look is not None:
        raise CannotShow("at a declared look pairs of levels are tested, and what the plan spends is spent on them.")
    if overall is None:
        raise CannotShow("mean ranks are of three levels or more.")
    if not overall.ranks or overall.critical is None:
        raise CannotShow(f"no critical difference is known: {overall.note or 'too few pairs have every level'}.")
    rows = [
        (level, rank, [k for k, alike in enumerate(overall.alike) if level in alike])
        for level, rank in overall.ranks.items()
    ]
    return pd.DataFrame(rows, columns=["level", "rank", "alike"]).assign(critical=overall.critical)


def draw(comparison: Comparison, numbers: pd.DataFrame) -> Drawn:
    """A line of ranks with the best at the left; a bar joins levels that are not told apart."""
    n, critical = len(numbers), float(numbers["critical"].iloc[0])
    bars = [part for part in _bars(numbers) if len(part) > 1]
    left = -(-n // 2)
    figure = style.figure(style.PAGE, 0.95 + 0.22 * left + 0.1 * len(bars))
    axes = figure.subplots()
    axes.set(xlim=(1 - 0.45 * (n - 1), n + 0.45 * (n - 1)), ylim=(left + 0.6 + 0.45 * len(bars), -1.9))
    axes.axis("off")
    axes.plot([1, n], [0, 0], color="black", linewidth=1)
    for rank in range(1, n + 1):
        axes.plot([rank, rank], [0, -0.15], color="black", linewidth=1)
        axes.text(rank, -0.25, str(rank), ha="center", va="bottom", fontsize=style.SMALL)
    axes.plot([1, 1 + critical], [-1.25, -1.25], color="black", linewidth=1.5, marker="|", markersize=8)
    axes.text(1, -1.45, f"critical difference {critical:.2f}", ha="left", va="bottom", fontsize=style.SMALL)
    for k, part in enumerate(bars):
        low, high = part["rank"].min() - 0.04, part["rank"].max() + 0.04
        axes.plot([low, high], [0.35 + 0.4 * k] * 2, color="black", linewidth=3.5, solid_capstyle="butt")
    for place, row in enumerate(shown.rows(numbers)):
        first = place < left
        depth = 0.6 + 0.45 * len(bars) + (place if first else n - 1 - place)
        end = 1 - 0.06 * (n - 1) if first else n + 0.06 * (n - 1)
        axes.plot([row.rank, row.rank, end], [0, depth, depth], color=style.GREY, linewidth=1)
        for text, away in ((f"{row.rank:.2f}", 3), (style.name(row.level), 30)):
            axes.annotate(
                text, (end, depth), (-away if first else away, 0), textcoords="offset points", va="center",
                ha="right" if first else "left", fontsize=style.SMALL,
            )  # fmt: skip
    axes.set_title(
        f"mean rank of {comparison.metric.words}, 1 is best", fontsize=style.NORMAL
    )  # fmt: skip
    return Drawn(style.finished(figure), _alt(comparison, numbers, bars))


def _bars(numbers: pd.DataFrame) -> list[pd.DataFrame]:
    sets = sorted({k for several in numbers["alike"] for k in several})
    return [numbers.loc[[k in several for several in numbers["alike"]]] for k in sets]


def _alt(comparison: Comparison, numbers: pd.DataFrame, bars: list[pd.DataFrame]) -> str:
    ranks = [f"{shown.called(row.level)} {row.rank:.2f}" for row in shown.rows(numbers)]
    alike = "; ".join(listed([shown.called(level) for level in part["level"]]) for part in bars)
    assert comparison.overall is not None
    return (
        f"Mean rank of each level over {comparison.overall.blocks} blocks, 1 is best: {listed(ranks, 12)}. "
        f"Ranks further apart than {numbers['critical'].iloc[0]:.2f} differ (Nemenyi). "
        + (f"Not told apart: {alike}." if alike else "All are told apart.")
    )


RANKS = View("ranks", "Mean ranks and the critical difference", "three levels or more with pairs", numbers, draw)
