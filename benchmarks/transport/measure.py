"""Interleaved medians, marginal errors in float64, and the least effort that reaches an error."""

import os
import statistics
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch

Call = Callable[[], object]


def one_thread() -> None:
    """Tie this process to one core; call before jax is imported."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)


def marginal_error(plan: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> float:
    """Worst L1 distance of either marginal over the total mass, in float64."""
    plan = np.asarray(plan, dtype=np.float64)
    row_error = np.abs(plan.sum(-1) - rows).sum(-1) / rows.sum(-1)
    col_error = np.abs(plan.sum(-2) - cols).sum(-1) / rows.sum(-1)
    worst = float(np.max(np.maximum(row_error, col_error)))
    return worst if np.isfinite(worst) else float("inf")


def least(
    solve: Callable[[int], np.ndarray], error: Callable[[np.ndarray], float], goal: float, seconds: float
) -> int | None:
    """The least number of iterations (within a quarter) whose plan has an error of at most `goal`.

    None if a plan that takes `seconds` does not have it either (timed in a second run, without compilation).
    """
    low, high = 0, 4
    while not error(solve(high)) <= goal:
        start = time.perf_counter()
        solve(high)
        if time.perf_counter() - start > seconds or high > 50_000:
            return None
        low, high = high, high * 2
    while high > 1.25 * low + 1:
        middle = (low + high) // 2
        low, high = (low, middle) if error(solve(middle)) <= goal else (middle, high)
    return high


def medians(calls: Mapping[str, Call], seconds: float, least_rounds: int = 9) -> dict[str, float]:
    """Median milliseconds of processor time of each call, in turn for about `seconds`: others may share the core."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    start = time.perf_counter()
    while time.perf_counter() - start < seconds or len(next(iter(times.values()), [0] * 9)) < least_rounds:
        for name, call in calls.items():
            begin = time.process_time()
            call()
            times[name].append(1e3 * (time.process_time() - begin))
    return {name: statistics.median(values) for name, values in times.items()}


def row(name: str, cells: list[str]) -> str:
    return f"| {name} | " + " | ".join(cells) + " |"


def shown(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds:.3g}"
