"""Distances between predictions over two label spaces."""

from typing import Literal

import ot
import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from selkd.transport import RowsAndColumns, distance, ground_cost, solve, transport_distance


def simplex(*shape: int) -> Tensor:
    weights = torch.rand(*shape, dtype=torch.float64) + 0.05
    return weights / weights.sum(-1, keepdim=True)


def exact(p: Tensor, q: Tensor, cost: Tensor) -> Tensor:
    return torch.tensor([ot.emd2(a.numpy(), b.numpy(), cost.numpy()) for a, b in zip(p, q, strict=True)])


@pytest.mark.parametrize("epsilon", [1.0, 0.05, 0.01, 1e-3])
def test_costs_equal_those_of_the_plans(epsilon: float):
    p, q, cost = simplex(7, 6), simplex(7, 9), torch.rand(6, 9, dtype=torch.float64)
    q[2, :4] = 0
    q = q / q.sum(1, keepdim=True)
    plan = solve(-cost.expand(7, 6, 9), RowsAndColumns(q, p), epsilon=epsilon, tolerance=1e-11)
    kinds: tuple[tuple[Literal["sharp", "regularised"], Tensor], ...] = (
        ("sharp", plan.cost),
        ("regularised", plan.value),
    )
    for kind, value in kinds:
        found = transport_distance(p, q, cost, epsilon, kind, tolerance=1e-11)
        torch.testing.assert_close(found, value, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("kind", ["sharp", "regularised", "debiased"])
def test_rows_that_share_a_kernel_are_answered_as_if_alone(kind, monkeypatch: pytest.MonkeyPatch):
    """Rows of very different difficulty leave the iteration one by one; none may take another's answer or slope."""
    p, q, cost = torch.randn(9, 6).double(), torch.randn(9, 5).double(), torch.rand(6, 5, dtype=torch.float64)
    p, q = p * torch.linspace(0.1, 8, 9)[:, None], q * torch.linspace(8, 0.1, 9)[:, None]
    within = (torch.rand(6, 6, dtype=torch.float64), torch.rand(5, 5, dtype=torch.float64))
    weight = torch.rand(9, dtype=torch.float64)
    monkeypatch.setattr(distance, "_one_by_one", None)  # what shares no kernel is not asked here

    def answered(rows: slice) -> list[Tensor]:
        a, b = (part[rows].softmax(1).requires_grad_() for part in (p, q))
        found = transport_distance(a, b, cost, 0.1, kind, within=within, tolerance=1e-12)
        return [found.detach(), *torch.autograd.grad(found @ weight[rows], (a, b))]

    alone = [answered(slice(row, row + 1)) for row in range(9)]
    for whole, parts in zip(answered(slice(None)), zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(whole, torch.cat(parts), atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize("kind", ["sharp", "regularised"])
@pytest.mark.parametrize("epsilon", [0.3, 0.002])
def test_gradients_equal_finite_differences(kind, epsilon):
    logits = torch.randn(3, 4, dtype=torch.float64), torch.randn(3, 5, dtype=torch.float64)
    leaves = [part.requires_grad_() for part in (*logits, torch.rand(4, 5, dtype=torch.float64))]

    def distance(a: Tensor, b: Tensor, cost: Tensor) -> Tensor:
        return transport_distance(a.softmax(1), b.softmax(1), cost, epsilon, kind, tolerance=1e-12)

    assert gradcheck(distance, leaves, eps=1e-7 if epsilon < 0.1 else 1e-6, atol=1e-5)
    if epsilon > 0.1:
        assert gradgradcheck(distance, leaves, atol=1e-5)


@pytest.mark.filterwarnings("ignore:`torch.jit.script:FutureWarning")
@pytest.mark.parametrize("kind", ["sharp", "regularised", "debiased"])
@pytest.mark.parametrize("epsilon", [0.3, 0.002])
def test_forward_mode_gives_every_row_the_slope_that_backward_mode_gives(kind, epsilon):
    """One kernel serves all rows at the larger epsilon, none at the smaller."""
    p, q, cost = simplex(6, 4), simplex(6, 5), torch.rand(4, 5, dtype=torch.float64)
    dp, dq = (move - move.mean(1, keepdim=True) for move in (torch.randn(6, 4).double(), torch.randn(6, 5).double()))
    within = (torch.rand(4, 4).double(), torch.rand(5, 5).double())

    def value(a: Tensor, b: Tensor) -> Tensor:
        return transport_distance(a, b, cost, epsilon, kind, within=within, tolerance=1e-11, max_iterations=5000)

    left, right = (part.clone().requires_grad_() for part in (p, q))
    slopes = torch.autograd.grad(value(left, right).sum(), (left, right))
    expected = (slopes[0] * dp).sum(1) + (slopes[1] * dq).sum(1)
    with torch.no_grad(), forward_ad.dual_level():
        found = forward_ad.unpack_dual(value(forward_ad.make_dual(p, dp), forward_ad.make_dual(q, dq))).tangent
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


def test_the_debiased_distance_is_zero_between_equals_and_positive_otherwise():
    points = torch.randn(6, 2, dtype=torch.float64)
    cost = ground_cost(points, points, "squared")
    p, q = simplex(5, 6), simplex(5, 6)
    same = transport_distance(p, p, cost, 0.5, "debiased", within=(cost, cost), tolerance=1e-12)
    torch.testing.assert_close(same, torch.zeros_like(same), atol=1e-11, rtol=0)
    assert (transport_distance(p, q, cost, 0.5, "debiased", within=(cost, cost)) > 0).all()


def test_different_names_cost_the_total_variation():
    p, q = simplex(4, 5), simplex(4, 5)
    cost = ground_cost(list("abcde"), list("abcde"), "zero-one").double()
    found = transport_distance(p, q, cost, 1e-3, tolerance=1e-10)
    torch.testing.assert_close(found, (p - q).abs().sum(1) / 2, atol=1e-8, rtol=0)


@pytest.mark.parametrize("epsilon", [5.0, 0.1, 1e-3])
def test_one_certain_side_forces_the_plan(epsilon):
    p, cost = simplex(4, 5), torch.rand(5, 3, dtype=torch.float64)
    certain = torch.eye(3, dtype=torch.float64)[torch.tensor([0, 2, 1, 1])]
    torch.testing.assert_close(transport_distance(p, certain, cost, epsilon), (p * cost.T[[0, 2, 1, 1]]).sum(1))
    torch.testing.assert_close(transport_distance(certain, p, cost.T, epsilon), (p * cost.T[[0, 2, 1, 1]]).sum(1))


def test_distance_falls_to_the_linear_program_with_epsilon():
    p, q, cost = simplex(4, 5), simplex(4, 7), torch.rand(5, 7, dtype=torch.float64)
    gaps = [transport_distance(p, q, cost, e, tolerance=1e-11) - exact(p, q, cost) for e in (1.0, 0.1, 0.01, 1e-3)]
    for late, early in zip(gaps[1:], gaps[:-1], strict=True):
        assert (late >= -1e-9).all()
        assert (late <= early + 1e-9).all()
    assert (gaps[-1] < 1e-4).all()


def test_a_large_epsilon_gives_independent_draws():
    p, q, cost = simplex(4, 5), simplex(4, 7), torch.rand(5, 7, dtype=torch.float64)
    torch.testing.assert_close(
        transport_distance(p, q, cost, 1e8), torch.einsum("bi,ik,bk->b", p, cost, q), atol=1e-7, rtol=0
    )


def test_scaling_and_shifting_the_cost():
    p, q, cost = simplex(4, 5), simplex(4, 7), torch.rand(5, 7, dtype=torch.float64)
    base = transport_distance(p, q, cost, 0.1, tolerance=1e-11)
    torch.testing.assert_close(transport_distance(p, q, 3 * cost, 0.3, tolerance=1e-11), 3 * base)
    torch.testing.assert_close(transport_distance(p, q, cost + 2, 0.1, tolerance=1e-11), base + 2)
    order = torch.randperm(5)
    torch.testing.assert_close(transport_distance(p[:, order], q, cost[order], 0.1, tolerance=1e-11), base)


def test_descent_on_the_regularised_loss_reaches_the_mapped_prediction():
    p, cost, epsilon = simplex(3, 4), torch.rand(4, 5, dtype=torch.float64), 0.2
    target = p @ (-cost / epsilon).softmax(1)
    logits = torch.zeros(3, 5, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-10, tolerance_change=1e-14)

    def loss() -> Tensor:
        optimiser.zero_grad()
        total = transport_distance(p, logits.softmax(1), cost, epsilon, "regularised", tolerance=1e-12).sum()
        total.backward()
        return total

    optimiser.step(loss)
    torch.testing.assert_close(logits.softmax(1).detach(), target, atol=1e-5, rtol=0)


def test_float32_predictions_are_answered_in_float32():
    p, q, cost = simplex(4, 5).float(), simplex(4, 7).float(), torch.rand(5, 7)
    p.requires_grad_()
    found = transport_distance(p, q, cost, 0.05)
    found.sum().backward()
    assert found.dtype == torch.float32
    assert p.grad is not None
    assert p.grad.isfinite().all()
    wide = transport_distance(p.detach().double(), q.double(), cost.double(), 0.05)
    torch.testing.assert_close(found.detach(), wide.float(), atol=1e-5, rtol=1e-5)


def test_many_categories_never_hold_all_plans_at_once():
    rows, classes = 512, 150
    p, q, cost = simplex(rows, classes).float(), simplex(rows, classes).float(), torch.rand(classes, classes)
    p.requires_grad_()
    whole = rows * classes * classes
    sizes: list[int] = []

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            sizes.extend(
                part.numel() for part in (out if isinstance(out, tuple | list) else (out,)) if isinstance(part, Tensor)
            )
            return out

    with Sizes():
        transport_distance(p, q, cost, 0.1).sum().backward()
    assert max(sizes) < whole / 20


def test_ground_costs():
    a, b = torch.tensor([[1.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 2.0]])
    torch.testing.assert_close(ground_cost(a, b), torch.tensor([[1.0], [1 - 0.5**0.5]]))
    torch.testing.assert_close(ground_cost(a, b, "squared"), torch.tensor([[5.0], [2.0]]))
    paths = [("animal", "cat"), ("animal", "dog")], [("animal", "cat"), ("tool", "saw")]
    torch.testing.assert_close(ground_cost(*paths, "hierarchy"), torch.tensor([[0.0, 4.0], [2.0, 4.0]]))
    torch.testing.assert_close(ground_cost(["x", "y"], ["y"], "zero-one"), torch.tensor([[1.0], [0.0]]))
    torch.testing.assert_close(ground_cost(a, b, lambda x, y: x @ y.T), a @ b.T)


@pytest.mark.parametrize("spread", [0.0, 1e-3, 0.3, 3.0])
def test_gradients_are_exact_where_answers_hardly_move_the_distance(spread: float) -> None:
    """Equal costs to all other categories: the slopes nearly vanish, and rounding must not take their place."""
    cost = (1 - torch.eye(10, dtype=torch.float64))[:, [3, 5, 8, 9]]
    generator = torch.Generator().manual_seed(0)
    p, z = ((spread * torch.randn(11, k, generator=generator, dtype=torch.float64)).requires_grad_() for k in (10, 4))
    shared = transport_distance(p.softmax(1), z.softmax(1), cost, 0.05, tolerance=1e-13)
    alone = distance._one_by_one(p.softmax(1), z.softmax(1), cost, 0.05, True, 1e-13, 5000)
    for found, expected in zip(
        torch.autograd.grad(shared.sum(), (p, z)), torch.autograd.grad(alone.sum(), (p, z)), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
