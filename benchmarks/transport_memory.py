"""Peak memory of forward + backward at 1024 x 1000, in fresh processes: ours and the peers, few and many iterations."""

import argparse
import multiprocessing
import resource
import warnings
from collections.abc import Callable, Sequence

import torch

from benchmarks.transport.measure import one_thread, row
from benchmarks.transport.peers import SINGLE
from benchmarks.transport_plans import make
from selkd.transport import RowsAndColumns, solve

SHAPE, EPSILON = (1024, 1000), 0.1
COUNTS = (10, 100)
PEERS = ("POT torch sinkhorn_log", "POT torch sinkhorn", "torch log-sum-exp, unrolled", "OTT-JAX, log")


def peak(name: str, count: int, answer: "multiprocessing.Queue[float]") -> None:
    one_thread()
    warnings.simplefilter("ignore")
    cell = make(SHAPE, EPSILON)
    run = _run(name)(count) if name == "ours" else None
    if run is None:
        peer = next(peer for peer in SINGLE if peer.name == name)
        _, teach = peer.prepare(cell, False)
        assert teach is not None
        run = lambda: teach(count)  # noqa: E731
        if peer.needs == "ott":
            run()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run()
    answer.put((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def _run(_: str) -> Callable[[int], Callable[[], object]]:
    s, a, b, w = make(SHAPE, EPSILON).torch(torch.float32)

    def prepared(count: int) -> Callable[[], object]:
        def run() -> None:
            leaf = s.clone().requires_grad_()
            plan = solve(leaf, RowsAndColumns(b, a), epsilon=EPSILON, tolerance=0.0, max_iterations=count)
            (plan.log.exp() * w).sum().backward()

        return run

    return prepared


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="ours only")
    names = ("ours",) if parser.parse_args(argv).quick else ("ours", *PEERS)
    context = multiprocessing.get_context("spawn")
    print(row("peak beyond the input, MB", [f"{count} iterations" for count in COUNTS]))
    print(row("---", ["---:"] * len(COUNTS)))
    for name in names:
        cells = []
        for count in COUNTS:
            answer = context.Queue()
            process = context.Process(target=peak, args=(name, count, answer))
            process.start()
            process.join()
            cells.append("-" if process.exitcode else f"{answer.get():.0f}")
        print(row(name, cells), flush=True)


if __name__ == "__main__":
    main()
