"""One function a library: (score, masses, epsilon, iterations) -> plan, in the library's own best way.

Iterations are fixed and no threshold is set, so that a peer does no more than the error asks for.
"""

import importlib
import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

NEVER = 0.0


@dataclass(frozen=True)
class Cell:
    """One problem: scores in [0, 1], masses, epsilon, and the weights of a loss on the plan."""

    scores: np.ndarray
    rows: np.ndarray
    cols: np.ndarray
    epsilon: float
    weights: np.ndarray

    def torch(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        parts = self.scores, self.rows, self.cols, self.weights
        s, a, b, w = (torch.tensor(part, dtype=dtype) for part in parts)
        return s, a, b, w


@dataclass(frozen=True)
class Peer:
    """`prepare(cell, double)` returns the forward pass by iterations, and forward + backward by iterations or None."""

    name: str
    needs: str
    prepare: Callable[[Cell, bool], tuple[Callable[[int], np.ndarray], Callable[[int], Any] | None]]
    doubles: tuple[bool, ...] = (False, True)  # precisions to try, cheapest first

    @property
    def present(self) -> bool:
        return importlib.util.find_spec(self.needs) is not None


def _dtype(double: bool) -> torch.dtype:
    return torch.float64 if double else torch.float32


def _taught(solve: Callable[[Tensor, int], Tensor], scores: Tensor, weights: Tensor) -> Callable[[int], Tensor]:
    def run(n: int) -> Tensor:
        leaf = scores.clone().requires_grad_()
        (solve(leaf, n) * weights).sum().backward()
        assert leaf.grad is not None
        return leaf.grad

    return run


def pot_numpy(method: str) -> Callable[[Cell, bool], Any]:
    def prepare(cell: Cell, double: bool) -> Any:
        ot: Any = importlib.import_module("ot")

        def forward(n: int) -> np.ndarray:
            return ot.sinkhorn(
                cell.rows, cell.cols, -cell.scores, cell.epsilon, method=method, numItermax=n, stopThr=NEVER, warn=False
            )

        return forward, None

    return prepare


def pot_torch(method: str) -> Callable[[Cell, bool], Any]:
    def prepare(cell: Cell, double: bool) -> Any:
        ot: Any = importlib.import_module("ot")

        s, a, b, w = cell.torch(_dtype(double))

        def solve(scores: Tensor, n: int) -> Tensor:
            return ot.sinkhorn(a, b, -scores, cell.epsilon, method=method, numItermax=n, stopThr=NEVER, warn=False)

        return lambda n: solve(s, n).numpy(), _taught(solve, s, w)

    return prepare


def pot_batch(cell: Cell, double: bool) -> Any:
    """A single problem as a batch of one; a stack of problems as it is."""
    batch: Any = importlib.import_module("ot.batch")

    s, a, b, w = (
        part if part.dim() == (3 if i in (0, 3) else 2) else part[None]
        for i, part in enumerate(cell.torch(_dtype(double)))
    )

    def solve(scores: Tensor, n: int) -> Tensor:
        return batch.solve_batch(
            -scores, cell.epsilon, a, b, max_iter=n, tol=NEVER, method="log_sinkhorn", grad="autodiff"
        ).plan

    shape = cell.scores.shape
    return lambda n: solve(s, n).detach().numpy().reshape(shape), _taught(solve, s, w)


def geomloss(cell: Cell, double: bool) -> Any:
    """Forward only: its gradients are those of the value, by the envelope theorem, and not of a loss on the plan."""
    library: Any = importlib.import_module("geomloss.ot")

    s, a, b, _ = cell.torch(_dtype(double))

    def forward(n: int) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return library.solve(C=-s, reg=cell.epsilon, a=a, b=b, max_iter=n).plan.numpy()

    return forward, None


def ott(lse: bool) -> Callable[[Cell, bool], Any]:
    def prepare(cell: Cell, double: bool) -> Any:
        import jax  # pyright: ignore[reportMissingImports]
        import jax.numpy as jnp  # pyright: ignore[reportMissingImports]
        from ott.geometry import geometry  # pyright: ignore[reportMissingImports]
        from ott.solvers import linear  # pyright: ignore[reportMissingImports]

        jax.config.update("jax_enable_x64", True)
        kind = jnp.float64 if double else jnp.float32
        s, a, b, w = (jnp.asarray(part, kind) for part in (cell.scores, cell.rows, cell.cols, cell.weights))
        batched = s.ndim == 3
        made: dict[int, tuple[Any, Any]] = {}

        def compiled(n: int) -> tuple[Any, Any]:
            if n not in made:

                def one(scores: Any, rows: Any, cols: Any) -> Any:
                    out = linear.solve(
                        geometry.Geometry(cost_matrix=-scores, epsilon=kind(cell.epsilon)),
                        rows,
                        cols,
                        lse_mode=lse,
                        threshold=0.0,
                        min_iterations=n,
                        max_iterations=n,
                        inner_iterations=min(n, 10),
                    )
                    return out.matrix

                plan = jax.vmap(one) if batched else one
                made.clear()
                made[n] = jax.jit(lambda x: plan(x, a, b)), jax.jit(jax.grad(lambda x: (plan(x, a, b) * w).sum()))
            return made[n]

        def rounded(n: int) -> int:
            return n if n <= 10 else -(-n // 10) * 10

        return lambda n: np.asarray(compiled(rounded(n))[0](s)), lambda n: compiled(rounded(n))[1](
            s
        ).block_until_ready()

    return prepare


def hand_written(cell: Cell, double: bool) -> Any:
    """The usual ten lines: log-sum-exp updates, autograd through all of them."""
    s, a, b, w = cell.torch(_dtype(double))
    log_a, log_b = a.log(), b.log()

    def solve(scores: Tensor, n: int) -> Tensor:
        logits = scores / cell.epsilon
        g = torch.zeros_like(log_b)
        f = log_a - logits.logsumexp(-1)
        for _ in range(n):
            g = log_b - (logits + f[..., None]).logsumexp(-2)
            f = log_a - (logits + g[..., None, :]).logsumexp(-1)
        return (logits + f[..., None] + g[..., None, :]).exp()

    return lambda n: solve(s, n).numpy(), _taught(solve, s, w)


def plain_kernel(cell: Cell, double: bool) -> Any:
    """The fewest possible operations, without any care: exp, then two products an iteration."""
    s, a, b, w = cell.torch(_dtype(double))

    def solve(scores: Tensor, n: int) -> Tensor:
        kernel = (scores / cell.epsilon).exp()
        v = torch.ones_like(b)
        if kernel.dim() == 2:
            for _ in range(n):
                u = a / torch.mv(kernel, v)
                v = b / torch.mv(kernel.T, u)
            u = a / torch.mv(kernel, v)
        else:
            for _ in range(n):
                u = a / (kernel @ v[..., None]).squeeze(-1)
                v = b / (u[..., None, :] @ kernel).squeeze(-2)
            u = a / (kernel @ v[..., None]).squeeze(-1)
        return u[..., None] * kernel * v[..., None, :]

    return lambda n: solve(s, n).numpy(), _taught(solve, s, w)


SINGLE = (
    Peer("POT numpy sinkhorn", "ot", pot_numpy("sinkhorn"), (True,)),
    Peer("POT numpy sinkhorn_log", "ot", pot_numpy("sinkhorn_log"), (True,)),
    Peer("POT torch sinkhorn", "ot", pot_torch("sinkhorn")),
    Peer("POT torch sinkhorn_log", "ot", pot_torch("sinkhorn_log")),
    Peer("POT ot.batch", "ot", pot_batch),
    Peer("geomloss", "geomloss", geomloss),
    Peer("OTT-JAX, log", "ott", ott(True)),
    Peer("OTT-JAX, kernel", "ott", ott(False)),
    Peer("torch log-sum-exp, unrolled", "torch", hand_written),
    Peer("torch plain kernel", "torch", plain_kernel),
)
BATCHED = tuple(
    peer for peer in SINGLE if peer.prepare in (pot_batch, hand_written, plain_kernel) or peer.needs == "ott"
)
