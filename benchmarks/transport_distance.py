"""256 distances between predictions over 20 and 50 labels that share one cost: `transport_distance` against plans.

Every solver at the same marginal error; a peer runs the fewest iterations that meet it, in float32 if that suffices.
The loss is the sum of <P_n, C>, its gradient that of the cost; ours gives the predictions' gradients in the same pass.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.transport.measure import Call, least, marginal_error, medians, one_thread, row, shown
from benchmarks.transport.peers import BATCHED, Cell, Peer, geomloss, pot_torch
from benchmarks.transport_plans import EPSILONS, GOAL, SINGLE_DOWN_TO, TITLES, make
from selkd.transport import transport_distance
from selkd.transport.shared import scaled

SHAPE = (256, 20, 50)


def looped(prepare: Callable[[Cell, bool], Any]) -> Callable[[Cell, bool], Any]:
    """One call a problem, for libraries without batches."""

    def prepared(cell: Cell, double: bool) -> Any:
        parts = zip(cell.scores, cell.rows, cell.cols, cell.weights, strict=True)
        runs = [prepare(Cell(s, a, b, cell.epsilon, w), double) for s, a, b, w in parts]
        forward = lambda n: np.stack([run(n) for run, _ in runs])  # noqa: E731
        return forward, None if runs[0][1] is None else lambda n: [teach(n) for _, teach in runs]

    return prepared


PEERS = (
    *BATCHED,
    Peer("POT torch sinkhorn_log, loop", "ot", looped(pot_torch("sinkhorn_log"))),
    Peer("POT torch sinkhorn, loop", "ot", looped(pot_torch("sinkhorn"))),
    Peer("geomloss, loop", "geomloss", looped(geomloss)),
)


def ours(cell: Cell) -> tuple[Call, Call, float]:
    scores, p, q, _ = cell.torch(torch.float32)
    cost = -scores[0]

    def backward() -> torch.Tensor:
        left, right, between = (part.clone().requires_grad_() for part in (p, q, cost))
        transport_distance(left, right, between, cell.epsilon, tolerance=GOAL).sum().backward()
        assert between.grad is not None
        return between.grad

    found, _ = scaled(p.double(), q.double(), cost.double(), cell.epsilon, tolerance=GOAL, steps=1000)
    plan = (found.u[:, :, None] * found.kernel * found.v[:, None]).numpy()
    error = marginal_error(plan, cell.rows, cell.cols)
    return lambda: transport_distance(p, q, cost, cell.epsilon, tolerance=GOAL), backward, error


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less time for each cell")
    seconds = 1.5 if parser.parse_args(argv).quick else 8.0
    one_thread()
    np.seterr(all="ignore")
    tables: list[dict[float, dict[str, float]]] = [{}, {}]
    for epsilon in EPSILONS:
        cell = make(SHAPE, epsilon)
        cell = Cell(cell.scores, cell.rows, cell.cols, epsilon, -cell.scores)
        forward, backward, error = ours(cell)
        todo: tuple[dict[str, Call], dict[str, Call]] = {"ours": forward}, {"ours": backward}
        how = [f"ours {error:.0e}"]
        for peer in (peer for peer in PEERS if peer.present):
            for double in peer.doubles if epsilon >= SINGLE_DOWN_TO else (True,):
                run, teach = peer.prepare(cell, double)
                n = least(run, lambda plan, cell=cell: marginal_error(plan, cell.rows, cell.cols), GOAL, seconds / 2)
                if n is not None:
                    todo[0][peer.name] = lambda run=run, n=n: run(n)
                    if teach is not None:
                        todo[1][peer.name] = lambda teach=teach, n=n: teach(n)
                    how.append(f"{peer.name} {n} it., float{64 if double else 32}")
                    break
        for table, these in zip(tables, todo, strict=True):
            table[epsilon] = medians(these, seconds)
        print(f"epsilon {epsilon:g}: " + "; ".join(how), flush=True)
    for title, table in zip(TITLES, tables, strict=True):
        print(f"\n{title}, median ms (ratio to ours)\n")
        print(row("", [f"eps {e:g}" for e in EPSILONS]) + "\n" + row("---", ["---:"] * len(EPSILONS)))
        for name in ("ours", *(peer.name for peer in PEERS)):
            known = {e: values[name] for e, values in table.items() if name in values}
            cells = [f"{shown(known[e])} ({known[e] / table[e]['ours']:.1f})" if e in known else "-" for e in EPSILONS]
            print(row(name, cells))


if __name__ == "__main__":
    main()
