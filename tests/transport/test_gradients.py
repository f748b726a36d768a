"""Derivatives three ways: implicit, through the iterations, and by finite differences; to second order, both modes."""

from typing import Literal

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad, gradcheck, gradgradcheck

from selkd.transport import Partial, Rows, RowsAndColumns, solve

# Forward mode compiles decompositions with a part of torch that torch itself calls outdated.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:FutureWarning")

Inputs = list[Tensor]
Differentiate = Literal["implicit", "unrolled"]
WAYS: tuple[Differentiate, ...] = ("implicit", "unrolled")


@pytest.fixture(params=[(5, 4, 0), (4, 6, 0), (5, 4, 1)], ids=["5 x 4", "4 x 6", "zero masses"])
def inputs(request) -> tuple[Inputs, int]:
    """Scores, logits of both masses, epsilon; and how many masses of either side are zero."""
    rows, cols, zeros = request.param
    parts = [torch.randn(*shape, dtype=torch.float64) for shape in ((2, rows, cols), (2, rows), (2, cols))]
    parts.append(torch.tensor([0.5, 1.3], dtype=torch.float64))
    return [part.requires_grad_() for part in parts], zeros


def masses(logits: Tensor, zeros: int) -> Tensor:
    """Masses of total 2.5, so that every change of the logits is tangent to the total."""
    given = 2.5 * logits[..., zeros:].softmax(-1)
    return torch.cat([torch.zeros_like(logits[..., :zeros]), given], -1)


def plan(*leaves: Tensor, zeros: int = 0, how: Differentiate = "implicit") -> Tensor:
    scores, a, b, epsilon = leaves
    constraint = RowsAndColumns(masses(b, zeros), masses(a, zeros))
    solution = solve(
        scores,
        constraint,
        epsilon=epsilon,
        tolerance=1e-12,
        max_iterations=5000,
        differentiate=how,
    )
    return solution.log[..., zeros:, zeros:]


def test_implicit_equals_unrolled(inputs):
    leaves, zeros = inputs
    weights = torch.randn_like(plan(*leaves, zeros=zeros))
    found = [torch.autograd.grad((plan(*leaves, zeros=zeros, how=how) * weights).sum(), leaves) for how in WAYS]
    torch.testing.assert_close(*found, atol=1e-9, rtol=1e-9)


def test_implicit_equals_unrolled_to_second_order(inputs):
    leaves, zeros = inputs
    weights = torch.randn_like(plan(*leaves, zeros=zeros))
    found = []
    for how in WAYS:
        first = torch.autograd.grad(
            (plan(*leaves, zeros=zeros, how=how).exp() * weights).sum(), leaves, create_graph=True
        )
        found.append(torch.autograd.grad(torch.cat([part.flatten() for part in first]).square().sum(), leaves))
    torch.testing.assert_close(*found, atol=1e-8, rtol=1e-8)


def test_reverse_and_forward_mode_equal_finite_differences(inputs):
    leaves, zeros = inputs
    assert gradcheck(lambda *x: plan(*x, zeros=zeros), leaves, check_forward_ad=True, atol=1e-6)


def test_second_derivatives_equal_finite_differences(inputs):
    leaves, zeros = inputs
    assert gradgradcheck(lambda *x: plan(*x, zeros=zeros), leaves, check_fwd_over_rev=True, atol=1e-5)


def test_value_and_cost_equal_finite_differences(inputs):
    leaves, zeros = inputs

    def worth(scores: Tensor, a: Tensor, b: Tensor, epsilon: Tensor) -> tuple[Tensor, Tensor]:
        constraint = RowsAndColumns(masses(b, zeros), masses(a, zeros))
        solution = solve(scores, constraint, epsilon=epsilon, tolerance=1e-12)
        return solution.value, solution.cost

    assert gradcheck(worth, leaves, check_forward_ad=True, atol=1e-6)


def test_the_gradient_of_the_value_is_the_plan_and_its_potentials(problem):
    scores, a, b = (part.requires_grad_() for part in problem(8, 5))
    solution = solve(scores, RowsAndColumns(b, a), epsilon=0.3, tolerance=1e-13)
    found = torch.autograd.grad(solution.value, (scores, a, b))
    torch.testing.assert_close(found[0], -solution.log.exp().detach())
    for grad, potential in ((found[1], solution.row_potential), (found[2], solution.col_potential)):
        torch.testing.assert_close(grad - grad.mean(), potential - potential.mean(), atol=1e-9, rtol=1e-9)


def test_functional_transforms_compose(inputs):
    leaves, _ = inputs
    scores, *rest = (leaf.detach() for leaf in leaves)
    weights = torch.randn_like(scores)

    def loss(s: Tensor) -> Tensor:
        return (plan(s, *rest).exp().square() * weights).sum()

    over = torch.func.jvp(torch.func.grad(loss), (scores,), (weights,))[1]
    under = torch.func.grad(lambda s: torch.func.jvp(loss, (s,), (weights,))[1])(scores)
    torch.testing.assert_close(over, under, atol=1e-9, rtol=1e-9)
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(plan(forward_ad.make_dual(scores, weights), *rest)).tangent
    torch.testing.assert_close(tangent, torch.func.jvp(lambda s: plan(s, *rest), (scores,), (weights,))[1])


def test_many_columns_take_the_matrix_free_path_to_the_same_gradient(problem):
    scores, a, b = problem(30, 250)
    weights = torch.randn_like(scores)
    found = []
    for how in WAYS:
        leaves = [part.clone().requires_grad_() for part in (scores, a, b)]
        solution = solve(
            leaves[0],
            RowsAndColumns(leaves[2], leaves[1]),
            epsilon=0.1,
            tolerance=1e-12,
            differentiate=how,
        )
        (solution.log * weights).sum().backward()
        grads = [leaf.grad for leaf in leaves]
        found.append([g - g.mean() if g.dim() == 1 else g for g in grads if g is not None])
    torch.testing.assert_close(*found, atol=1e-8, rtol=1e-8)


def test_single_row_and_single_column_have_no_gradient():
    for rows, cols in ((1, 4), (4, 1)):
        scores = torch.randn(rows, cols, dtype=torch.float64, requires_grad=True)
        b = torch.full((cols,), rows / cols, dtype=torch.float64)
        (solve(scores, RowsAndColumns(b), epsilon=0.1).log.square()).sum().backward()
        assert scores.grad is not None
        torch.testing.assert_close(scores.grad, torch.zeros_like(scores), atol=1e-12, rtol=0)


@pytest.mark.parametrize("mass", [0.3, 2.0, 3.7])
def test_partial_and_row_plans_equal_finite_differences(mass):
    scores = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    m = torch.tensor(mass, dtype=torch.float64, requires_grad=True)
    eps = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    a = torch.rand(2, 5, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda s, m, e: solve(s, Partial(m), epsilon=e).log, (scores, m, eps), check_forward_ad=True)
    assert gradgradcheck(lambda s, m, e: solve(s, Partial(m), epsilon=e).log, (scores, m, eps))
    assert gradcheck(lambda s, a, e: solve(s, Rows(a), epsilon=e).log, (scores, a, eps), check_forward_ad=True)


def test_partial_gradients_are_finite_at_ties():
    for mass in (1.0, 2.0, 2.5, 4.0):
        scores = torch.zeros(4, 3, dtype=torch.float64, requires_grad=True)
        m = torch.tensor(mass, dtype=torch.float64, requires_grad=True)
        plan = solve(scores, Partial(m), epsilon=0.5).log
        torch.testing.assert_close(plan.exp().sum(), m)
        for grad in torch.autograd.grad((plan * torch.randn_like(plan)).sum(), (scores, m)):
            assert grad.isfinite().all()
