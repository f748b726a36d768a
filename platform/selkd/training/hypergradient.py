"""How the outer loss after one gradient step depends on the weights of the inner losses: exact, and first order only.

With J_in = sum_i w_i l_i(theta) / B and theta' = theta - eta grad J_in, which is linear in the weights w,

    d J_out(theta') / d w_i = -(eta / B) d_i,   d_i = <grad l_i(theta), v>,   v = grad J_out(theta')

v is one backward pass, and one forward-mode product along v gives all d_i: no second derivative is formed. It holds
where l_i depends on other rows too, as a plan's losses do. Derived from Hu et al. (ICLR 2024), whose paper leaves the
solver open; one inner step as in Franceschi et al. (2018).
"""

import warnings
from collections.abc import Callable, Mapping
from functools import cache

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from selkd.training.forward import Parameters


def stepped(theta: Parameters, gradient: Parameters, eta: float) -> dict[str, Tensor]:
    """theta' = theta - eta gradient, apart from any graph."""
    return {name: value.detach() - eta * gradient[name] for name, value in theta.items()}


def gradient_at(loss: Callable[[Parameters], Tensor], theta: Parameters) -> dict[str, Tensor]:
    """The gradient of a loss at theta, by one backward pass; zero where the loss does not depend on a parameter."""
    at = {name: value.detach().requires_grad_() for name, value in theta.items()}
    with torch.enable_grad():
        found = torch.autograd.grad(loss(at), list(at.values()), materialize_grads=True)
    return dict(zip(at, found, strict=True))


@torch.no_grad()
def along(
    losses: Callable[[Parameters], Mapping[str, Tensor]], theta: Parameters, direction: Parameters
) -> dict[str, Tensor]:
    """Directional derivatives [b] of every row's losses at theta, by one forward-mode product.

    Attention is computed step by step meanwhile: its fused kernels have no forward mode.
    """
    _load_forward_mode()
    with forward_ad.dual_level(), sdpa_kernel(SDPBackend.MATH):
        duals = {name: forward_ad.make_dual(value.detach(), direction[name]) for name, value in theta.items()}
        found = {name: forward_ad.unpack_dual(loss) for name, loss in losses(duals).items()}
        return {name: torch.zeros_like(d.primal) if d.tangent is None else d.tangent for name, d in found.items()}


def weight_slopes(
    losses: Callable[[Parameters], Mapping[str, Tensor]],
    theta: Parameters,
    direction: Parameters,
    *,
    eta: float,
    rows: int,
) -> dict[str, Tensor]:
    """d J_out(theta') / d w [b] for every term of `losses`; `direction` is v, `rows` is B."""
    return {name: -(eta / rows) * found for name, found in along(losses, theta, direction).items()}


@cache
def _load_forward_mode() -> None:
    """torch loads a part of itself at the first use of forward mode, and warns of that part."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        with forward_ad.dual_level():
            forward_ad.make_dual(torch.zeros(1), torch.zeros(1))
