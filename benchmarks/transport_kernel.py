"""What stabilisation, stopping and checks add to the plain kernel iteration, at equal iterations in float32."""

import argparse
import warnings
from collections.abc import Sequence

import torch

from benchmarks.transport.measure import medians, one_thread, row, shown
from benchmarks.transport.peers import plain_kernel
from benchmarks.transport_plans import SHAPES, make
from selkd.transport import RowsAndColumns, solve

EPSILON, COUNTS, GOAL = 0.1, (10, 50, 200), 1.5


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less time for each cell")
    seconds = 1.0 if parser.parse_args(argv).quick else 4.0
    one_thread()
    warnings.simplefilter("ignore")
    print(f"goal: at most {GOAL} times the plain kernel\n")
    print(row("B x K, iterations", ["ours, ms", "plain kernel, ms", "ratio"]) + "\n" + row("---", ["---:"] * 3))
    for shape in SHAPES:
        cell = make(shape, EPSILON)
        s, a, b, _ = cell.torch(torch.float32)
        plain, _ = plain_kernel(cell, False)
        for n in COUNTS:

            def ours(n: int = n, s: torch.Tensor = s, a: torch.Tensor = a, b: torch.Tensor = b) -> torch.Tensor:
                return solve(s, RowsAndColumns(b, a), epsilon=EPSILON, tolerance=0.0, max_iterations=n).log

            found = medians({"ours": ours, "plain": lambda n=n, plain=plain: plain(n)}, seconds)
            ratio = found["ours"] / found["plain"]
            cells = [shown(found["ours"]), shown(found["plain"]), f"{ratio:.2f}"]
            print(row(f"{' x '.join(map(str, shape))}, {n}", cells), flush=True)


if __name__ == "__main__":
    main()
