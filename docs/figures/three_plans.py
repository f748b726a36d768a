"""Draws three_plans.png: the same scores under the three constraints.  python docs/figures/three_plans.py"""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import torch

from selkd.transport import Partial, Rows, RowsAndColumns, solve

ROWS, COLS, EPSILON = 12, 5, 1.0


def main() -> None:
    torch.manual_seed(4)
    labels = torch.tensor([0] * 6 + [1] * 3 + [2, 3, 4])
    scores = 1.6 * torch.nn.functional.one_hot(labels, COLS) + 0.8 * torch.randn(ROWS, COLS)
    scores[9:] -= 1.5
    plans = {
        "Rows: each row gives 1": Rows(),
        "RowsAndColumns: columns receive equally": RowsAndColumns(torch.full((COLS,), ROWS / COLS)),
        "Partial: rows give at most 1, in total 6": Partial(6.0),
    }
    figure, axes = plt.subplots(1, 4, figsize=(12, 4.2), layout="constrained")
    axes[0].imshow(scores, cmap="cividis")
    axes[0].set_title("scores", fontsize=10)
    for axis, (title, constraint) in zip(axes[1:], plans.items(), strict=True):
        plan = solve(scores, constraint, epsilon=EPSILON).log.exp()
        axis.imshow(plan, cmap="Greys", vmin=0, vmax=1)
        axis.set_title(title, fontsize=10)
        for row, mass in enumerate(plan.sum(1)):
            axis.text(COLS - 0.35, row, f"{mass:.2f}", va="center", fontsize=8)
        for column, mass in enumerate(plan.sum(0)):
            axis.text(column, ROWS - 0.1, f"{mass:.1f}", ha="center", va="center", fontsize=8)
    for axis in axes:
        axis.set(xticks=[], yticks=[], xlabel="category")
        axis.xaxis.labelpad = 14
    axes[0].set_ylabel("sample")
    figure.savefig(Path(__file__).with_name("three_plans.png"), dpi=110)


if __name__ == "__main__":
    main()
