"""What transport adds to a training step of resnet20: batch 128, 100 categories, forward + backward + update."""

import argparse
from collections.abc import Sequence

import torch
from torch.nn import functional as F

from benchmarks.transport.measure import medians, one_thread
from selkd import models
from selkd.transport import RowsAndColumns, solve

BATCH, OUTPUTS, EPSILON = 128, 100, 4.0
GOAL = 0.05


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer steps")
    seconds = 5.0 if parser.parse_args(argv).quick else 40.0
    one_thread()
    torch.manual_seed(0)
    network = models.build("resnet20", channels=3, outputs=OUTPUTS, image_size=32)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    images, labels = torch.randn(BATCH, 3, 32, 32), torch.randint(OUTPUTS, (BATCH,))
    teacher = 3 * torch.randn(BATCH, OUTPUTS)
    masses = torch.full((OUTPUTS,), BATCH / OUTPUTS)
    logits = 3 * torch.randn(BATCH, OUTPUTS)

    def transport(student: torch.Tensor) -> torch.Tensor:
        """Both plans with both marginals, as closed SelKD makes them in its dearest form."""
        with torch.no_grad():
            target = solve(teacher, RowsAndColumns(masses), epsilon=EPSILON).log
        plan = solve(student, RowsAndColumns(masses), epsilon=EPSILON).log
        return EPSILON**2 * (target.exp() * (target - plan)).sum() / BATCH

    def step() -> None:
        optimiser.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimiser.step()

    def alone() -> None:
        leaf = logits.clone().requires_grad_()
        transport(leaf).backward()

    found = medians({"step": step, "transport": alone}, seconds)
    share = found["transport"] / (found["step"] + found["transport"])
    print(f"resnet20 step {found['step']:.1f} ms; two plans and their gradient {found['transport']:.2f} ms")
    print(f"transport is {share:.2%} of the step with it (goal: at most {GOAL:.0%})")


if __name__ == "__main__":
    main()
