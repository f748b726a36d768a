"""Plans with given marginals against the libraries we could use instead: every solver at the same marginal error.

A peer runs the fewest iterations with which it meets the error (within a quarter), in float32 if that suffices, without
convergence checks. Ours runs as users call it: float32 scores in, checks included. `-` means the error was not met.
"""

import argparse
from collections.abc import Callable, Sequence

import numpy as np
import torch

from benchmarks.transport.measure import Call, least, marginal_error, medians, one_thread, row, shown
from benchmarks.transport.peers import SINGLE, Cell, Peer
from selkd.transport import RowsAndColumns, solve

SHAPES = ((64, 20), (256, 100), (1024, 1000))
TITLES = ("forward", "forward + backward")
EPSILONS = (1.0, 0.1, 0.01, 0.001)
GOAL = 1e-6
SINGLE_DOWN_TO = 0.05  # below, no peer meets the error in float32


def make(shape: tuple[int, ...], epsilon: float) -> Cell:
    """Uniform scores in [0, 1] and uneven masses; problems of a stack share their scores."""
    draw = np.random.default_rng(len(shape) * 1000 + shape[0])
    lead, (b, k) = shape[:-2], shape[-2:]
    scores = np.broadcast_to(draw.random((b, k), dtype=np.float32).astype(np.float64), shape).copy()
    rows, cols = (draw.uniform(0.5, 1.5, (*lead, n)) for n in (b, k))
    rows, cols = rows / rows.sum(-1, keepdims=True), cols / cols.sum(-1, keepdims=True)
    return Cell(scores, rows, cols, epsilon, draw.standard_normal(shape))


def ours(cell: Cell) -> tuple[Callable[[], np.ndarray], Call]:
    s, a, b, w = cell.torch(torch.float32)

    def backward() -> torch.Tensor:
        leaf = s.clone().requires_grad_()
        (solve(leaf, RowsAndColumns(b, a), epsilon=cell.epsilon, tolerance=GOAL).log.exp() * w).sum().backward()
        assert leaf.grad is not None
        return leaf.grad

    def forward() -> np.ndarray:
        return solve(s, RowsAndColumns(b, a), epsilon=cell.epsilon, tolerance=GOAL).log.exp().numpy()

    return forward, backward


def calls(cell: Cell, peers: Sequence[Peer], seconds: float) -> tuple[dict[str, Call], dict[str, Call], dict[str, str]]:
    """What to time, forward and forward + backward, and how each peer met the error."""
    forward: dict[str, Call] = {}
    backward: dict[str, Call] = {}
    how: dict[str, str] = {}
    plan, backward["ours"] = ours(cell)
    forward["ours"], how["ours"] = plan, f"{marginal_error(plan(), cell.rows, cell.cols):.0e}"
    for peer in peers:
        if not peer.present:
            continue
        for double in peer.doubles if cell.epsilon >= SINGLE_DOWN_TO else (True,):
            run, teach = peer.prepare(cell, double)
            n = least(run, lambda plan: marginal_error(plan, cell.rows, cell.cols), GOAL, seconds)
            if n is not None:
                forward[peer.name] = lambda run=run, n=n: run(n)
                if teach is not None:
                    backward[peer.name] = lambda teach=teach, n=n: teach(n)
                how[peer.name] = f"{n} it., float{64 if double else 32}"
                break
    return forward, backward, how


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less time for each cell")
    parser.add_argument("--shape", type=int, choices=range(len(SHAPES)), action="append", help="only these shapes")
    options = parser.parse_args(argv)
    one_thread()
    np.seterr(all="ignore")
    budget = 0.5 if options.quick else 4.0
    for peer in SINGLE:
        if not peer.present:
            print(f"{peer.name}: {peer.needs} is not installed, left out")
    for index in options.shape or range(len(SHAPES)):
        shape = SHAPES[index]
        tables: list[dict[str, dict[float, float]]] = [{}, {}]
        print(f"\n## {' x '.join(map(str, shape))}, error at most {GOAL:.0e}")
        for epsilon in EPSILONS:
            forward, backward, how = calls(make(shape, epsilon), SINGLE, budget)
            for table, todo in zip(tables, (forward, backward), strict=True):
                for name, value in medians(todo, budget).items():
                    table.setdefault(name, {})[epsilon] = value
            print(f"\nepsilon {epsilon:g}: " + "; ".join(f"{name} {what}" for name, what in how.items()))
            for title, table in zip(TITLES, tables, strict=True):
                known = (f"{name} {shown(values[epsilon])}" for name, values in table.items() if epsilon in values)
                print(f"  {title}, ms: " + ", ".join(known), flush=True)
        for title, table in zip(TITLES, tables, strict=True):
            print(f"\n{title}, median ms (ratio to ours)\n")
            print(row("", [f"eps {e:g}" for e in EPSILONS]) + "\n" + row("---", ["---:"] * len(EPSILONS)))
            for name, values in table.items():
                cells = [
                    "-" if e not in values else f"{shown(values[e])} ({values[e] / table['ours'][e]:.1f})"
                    for e in EPSILONS
                ]
                print(row(name, cells))


if __name__ == "__main__":
    main()
