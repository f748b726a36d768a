"""The partial plan's closed form against POT's iteration: with the fewest iterations that are right, and as called.

"Fewest" reaches an L1 error of 1e-6 against the exact plan; by default POT makes 1,000 iterations (its threshold is
1e-100), of which a tenth is timed and scaled where they are long.
"""

import argparse
import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.transport.measure import least, medians, one_thread, row, shown
from selkd.transport import Partial, solve

SHAPES = ((64, 20), (256, 100))
EPSILONS = (1.0, 0.1, 0.03)
GOAL = 1e-6
WANTED = 50.0


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less time for each cell")
    seconds = 0.5 if parser.parse_args(argv).quick else 3.0
    one_thread()
    pot: Any = importlib.import_module("ot")
    print(f"mass is half of the rows; goal: {WANTED:g} times POT's entropic_partial_wasserstein\n")
    print(row("B x K, epsilon", ["ours, ms", "POT, fewest iterations, ms", "ratio", "POT as called, ms", "ratio"]))
    print(row("---", ["---:"] * 5))
    for b, k in SHAPES:
        scores = np.random.default_rng(b).random((b, k))
        for epsilon in EPSILONS:
            exact = solve(torch.tensor(scores), Partial(b / 2), epsilon=epsilon).log.exp().numpy()

            def peer(
                n: int, scores: np.ndarray = scores, b: int = b, k: int = k, epsilon: float = epsilon
            ) -> np.ndarray:
                return pot.partial.entropic_partial_wasserstein(
                    np.ones(b), np.full(k, float(b)), -scores, reg=epsilon, m=b / 2, numItermax=n, stopThr=0.0
                )

            n = least(peer, lambda plan, exact=exact, b=b: float(np.abs(plan - exact).sum() / b), GOAL, 4 * seconds)
            single = torch.tensor(scores, dtype=torch.float32)
            most = 100 if b > 64 else 1000
            calls: dict[str, Any] = {
                "ours": lambda s=single, b=b, e=epsilon: solve(s, Partial(b / 2), epsilon=e).log.exp()
            }
            calls["as called"] = lambda peer=peer, most=most: peer(most)
            if n is not None:
                calls["fewest"] = lambda n=n, peer=peer: peer(n)
            found = medians(calls, seconds)
            found["as called"] *= 1000 / most
            cells = [shown(found["ours"])]
            for name in ("fewest", "as called"):
                cells += [shown(found.get(name)), f"{found[name] / found['ours']:.3g}" if name in found else "-"]
            print(row(f"{b} x {k}, {epsilon:g}", cells), flush=True)


if __name__ == "__main__":
    main()
