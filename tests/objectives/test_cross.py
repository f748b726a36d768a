"""Distillation across label sets against independent formulas and solvers (section 8 of the method's notes)."""

from typing import Any

import numpy as np
import ot
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from selkd.objectives import REGISTRY, Context, View
from selkd.objectives.links import Link, link, mapped, probabilities

B, K1, O = 6, 5, 3  # noqa: E741
F64 = torch.float64


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def costs(seed: int = 3) -> Tensor:
    found = torch.rand(K1, O, generator=torch.Generator().manual_seed(seed), dtype=F64)
    return found / found.max()


def make(name: str, links: tuple[Link, ...], **settings: Any) -> Any:
    cls: Any = REGISTRY[name]
    heat = {} if name == "shared-kd" else {"teacher_temperature": 1.0}
    return cls(cls.Settings(**(heat | settings)), Context(torch.arange(O), "closed", torch.ones(O), links))


def plain(cost: Tensor, share: float = 1.0, **within: Tensor) -> Link:
    return Link(cost, torch.zeros(cost.shape, dtype=torch.bool), share=share, **within)


def term(objective: Any, student: Tensor, teacher: Tensor) -> Tensor:
    targets = F.one_hot(torch.arange(len(student)) % O, O).to(student.dtype)
    return objective.terms(View(student, targets, teacher, len(student)))["teacher"]


def ask(name: str, student: Tensor, teacher: Tensor, *links: Link, **settings: Any) -> Tensor:
    return term(make(name, links, **settings), student, teacher)


@pytest.mark.parametrize("epsilon", [0.05, 0.5])
def test_the_sharp_loss_is_what_pots_plan_costs(epsilon: float) -> None:
    student, teacher, cost = drawn(B, O), drawn(B, K1, seed=1), costs()
    found = ask("transport", student, teacher, plain(cost), epsilon=epsilon, tolerance=1e-12, max_iterations=20000)
    for row in range(B):
        p, q = teacher[row].softmax(0).numpy(), student[row].softmax(0).numpy()
        plan: Any = ot.sinkhorn(p, q, cost.numpy(), epsilon, method="sinkhorn_log", stopThr=1e-13, numItermax=100000)
        assert found[row].item() == pytest.approx(float((plan * cost.numpy()).sum()), abs=1e-9)


def test_it_is_never_less_than_the_linear_program_and_falls_to_it() -> None:
    student, teacher, cost = drawn(B, O), drawn(B, K1, seed=1), costs()
    pairs = zip(teacher.softmax(1), student.softmax(1), strict=True)
    exact = [float(np.sum(ot.emd(p.numpy(), q.numpy(), cost.numpy()) * cost.numpy())) for p, q in pairs]
    gaps = [
        ask("transport", student, teacher, plain(cost), epsilon=eps, max_iterations=5000) - torch.tensor(exact)
        for eps in (0.3, 0.1, 0.03, 0.01)
    ]
    assert all((gap > -1e-6).all() for gap in gaps)
    assert all((a > b - 1e-6).all() for a, b in zip(gaps, gaps[1:]))  # noqa: B905, RUF007
    assert gaps[-1].max() < 5e-3


def test_a_certain_student_pays_the_teachers_mean_cost_whatever_epsilon() -> None:
    """W = sum_k p_k M[k, y]; logits of 60 are as certain as probabilities of 1e-8 allow."""
    labels, teacher, cost = torch.arange(B) % O, drawn(B, K1, seed=1), costs()
    certain = 60 * F.one_hot(labels, O).to(F64)
    expected = (teacher.softmax(1) * cost[:, labels].T).sum(1)
    for epsilon in (0.02, 0.2, 2.0):
        torch.testing.assert_close(
            ask("transport", certain, teacher, plain(cost), epsilon=epsilon), expected, atol=1e-6, rtol=0
        )


def test_a_certain_teacher_makes_the_student_pay_its_row() -> None:
    sure, student, cost = torch.arange(B) % K1, drawn(B, O), costs()
    found = ask("transport", student, 60 * F.one_hot(sure, K1).to(F64), plain(cost))
    torch.testing.assert_close(found, (student.softmax(1) * cost[sure]).sum(1), atol=1e-6, rtol=0)


def test_equal_label_sets_and_different_names_cost_the_total_variation() -> None:
    student, teacher = drawn(B, O), drawn(B, O, seed=1)
    found = ask("transport", student, teacher, plain(1 - torch.eye(O, dtype=F64)), epsilon=0.02)
    torch.testing.assert_close(
        found, (student.softmax(1) - teacher.softmax(1)).abs().sum(1) / 2, atol=1e-6, rtol=0
    )  # fmt: skip


def test_a_large_epsilon_forgets_who_is_near() -> None:
    student, teacher, cost = drawn(B, O), drawn(B, K1, seed=1), costs()
    expected = torch.einsum("bk,kc,bc->b", teacher.softmax(1), cost, student.softmax(1))
    torch.testing.assert_close(
        ask("transport", student, teacher, plain(cost), epsilon=1e6), expected, atol=1e-5, rtol=0
    )


def test_costs_and_epsilon_in_another_unit_scale_the_loss_and_a_constant_adds_to_it() -> None:
    student, teacher, cost = drawn(B, O), drawn(B, K1, seed=1), costs()
    base = ask("transport", student, teacher, plain(cost), epsilon=0.1, tolerance=1e-10)
    scaled = ask("transport", student, teacher, plain(3 * cost), epsilon=0.3, tolerance=1e-10)
    shifted = ask("transport", student, teacher, plain(cost + 0.5), epsilon=0.1, tolerance=1e-10)
    torch.testing.assert_close(scaled, 3 * base)
    torch.testing.assert_close(shifted, base + 0.5)


@pytest.mark.parametrize("name", ["transport", "mapped"])
def test_the_order_of_a_teachers_categories_decides_nothing(name: str) -> None:
    student, teacher, cost, order = drawn(B, O), drawn(B, K1, seed=1), costs(), torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(
        ask(name, student, teacher[:, order], plain(cost[order])), ask(name, student, teacher, plain(cost)),
        atol=1e-9, rtol=1e-6,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["sharp", "regularised", "debiased"])
def test_gradients_equal_finite_differences(kind: str) -> None:
    teacher, cost, near = drawn(3, K1, seed=1), costs(), drawn(K1 + O, 2, seed=5)
    within = torch.cdist(near, near) / 10
    found = plain(cost, theirs=within[:K1, :K1], ours=within[K1:, K1:])
    objective = make("transport", (found,), kind=kind, epsilon=0.2, tolerance=1e-12, max_iterations=20000)
    student = drawn(3, O).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: term(objective, z, teacher), (student,), atol=1e-6, rtol=1e-5)


def test_descent_on_the_regularised_loss_reaches_the_mapped_target() -> None:
    """And with it the same classes in another order reach the teacher's answer in the student's order."""
    order, teacher = torch.tensor([2, 0, 1]), drawn(2, O, seed=1)
    cost = (order[:, None] != torch.arange(O)).double()
    objective = make("transport", (plain(cost),), kind="regularised", epsilon=0.1)
    student = torch.zeros(2, O, dtype=F64, requires_grad=True)
    optimiser = torch.optim.LBFGS([student], max_iter=200, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = term(objective, student, teacher).sum()
        loss.backward()
        return loss

    optimiser.step(closure)  # pyright: ignore[reportArgumentType]
    target = mapped(teacher.softmax(1), cost, 0.1)
    torch.testing.assert_close(student.detach().softmax(1), target, atol=1e-4, rtol=0)
    torch.testing.assert_close(
        mapped(teacher.softmax(1), cost, 0.01)[:, order], teacher.softmax(1), atol=1e-8, rtol=0
    )  # fmt: skip


def test_the_mapped_loss_is_zero_at_the_mapped_target() -> None:
    teacher, cost = drawn(B, K1, seed=1), costs()
    student = mapped(teacher.softmax(1), cost, 0.05).log().requires_grad_()
    found = ask("mapped", student, teacher, plain(cost))
    found.sum().backward()
    assert found.abs().max() < 1e-6
    assert student.grad is not None
    assert student.grad.abs().max() < 1e-6


def test_several_teachers_are_a_weighed_sum_whose_columns_stand_side_by_side() -> None:
    student, first, second, other = drawn(B, O), drawn(B, K1, seed=1), drawn(B, 2, seed=2), costs()[:2]
    for name in ("transport", "mapped"):
        both = ask(name, student, torch.cat([first, second], 1), plain(costs(), 0.75), plain(other, 0.25))
        alone = [ask(name, student, z, plain(cost)) for z, cost in ((first, costs()), (second, other))]
        torch.testing.assert_close(both, 0.75 * alone[0] + 0.25 * alone[1])


def test_a_teacher_of_one_category_moves_the_student_to_the_nearest_whatever_the_row() -> None:
    """W = sum_c q_c M[0, c], whose slope along logit c is q_c (M[0, c] - W): zero only where the student is certain."""
    student, cost = drawn(B, O).requires_grad_(), costs()[0]
    found = ask("transport", student, torch.zeros(B, 1, dtype=F64), plain(cost[None]))
    q = student.detach().softmax(1)
    torch.testing.assert_close(found, q @ cost, atol=1e-6, rtol=0)
    found.sum().backward()
    torch.testing.assert_close(student.grad, q * (cost - (q @ cost)[:, None]), atol=1e-6, rtol=0)


def test_temperatures_soften_each_side() -> None:
    student, teacher, cost = drawn(B, O), drawn(B, K1, seed=1), costs()
    softened = ask("transport", student, teacher, plain(cost), teacher_temperature=3.0, student_temperature=2.0)
    torch.testing.assert_close(softened, ask("transport", student / 2, teacher / 3, plain(cost)))


def test_probabilities_of_nothing_are_raised_and_the_rest_renormalised() -> None:
    found = probabilities(torch.tensor([[1e4, 0.0, -1e4]]), 1.0)
    assert found.sum().item() == pytest.approx(1)
    assert found[0, 1:].tolist() == pytest.approx([1e-8, 1e-8])


def test_kd_over_shared_categories_is_kd_between_equal_label_sets() -> None:
    student, teacher = drawn(B, O), drawn(B, O, seed=1)
    same = torch.eye(O, dtype=torch.bool)
    ids, counts = torch.arange(O), torch.ones(O)
    kd = REGISTRY["kd"](REGISTRY["kd"].Settings(temperature=2.0), Context(ids, "closed", counts))  # pyright: ignore
    ours = ask("shared-kd", student, teacher, Link((~same).double(), same), temperature=2.0)
    torch.testing.assert_close(ours, term(kd, student, teacher))


def test_kd_over_shared_categories_sees_no_others() -> None:
    student, teacher = drawn(B, O), drawn(B, K1, seed=1)
    same = torch.zeros(K1, O, dtype=torch.bool)
    same[4, 0] = same[1, 2] = True
    found = ask("shared-kd", student, teacher, Link((~same).double(), same), temperature=1.0)
    expected = F.kl_div(
        student[:, [0, 2]].log_softmax(1), teacher[:, [4, 1]].softmax(1), reduction="none"
    ).sum(1)  # fmt: skip
    torch.testing.assert_close(found, expected)
    other = teacher.clone()
    other[:, [0, 2, 3]] += drawn(B, 3, seed=9)
    torch.testing.assert_close(ask("shared-kd", student, other, Link((~same).double(), same), temperature=1.0), found)
    nothing = torch.zeros_like(same)
    assert not ask("shared-kd", student, teacher, Link((~nothing).double(), nothing)).any()


def test_not_selected_costs_what_the_nearest_unselected_category_costs() -> None:
    cost = torch.tensor([[0.1, 0.5, 0.9, 0.2], [0.7, 0.3, 0.4, 0.8]])
    same = torch.tensor([[True, False, False, False], [False, False, True, False]])
    ours = torch.tensor([[0, 1, 2, 3], [1, 0, 4, 5], [2, 4, 0, 6], [3, 5, 6, 0.0]])
    found = link(cost, same, torch.tensor([3, 1]), "open", ours=ours)
    np.testing.assert_allclose(found.cost, [[0.2, 0.5, 0.1], [0.8, 0.3, 0.4]])
    assert found.same.tolist() == [[False, False, True], [False, False, True]]
    assert found.ours is not None
    np.testing.assert_allclose(found.ours, [[0, 5, 3], [5, 0, 1], [3, 1, 0]])


def test_the_debiased_loss_needs_costs_within_each_list() -> None:
    with pytest.raises(ValueError, match="debiased needs the costs within"):
        make("transport", (plain(costs()),), kind="debiased")


@pytest.mark.parametrize("kind", ["sharp", "regularised", "debiased"])
def test_a_teacher_of_many_categories_is_heard_on_the_likeliest_of_the_batch(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    student, teacher, cost = drawn(B, O), 3 * drawn(B, K1, seed=1), costs()
    theirs, ours = 1 - torch.eye(K1, dtype=F64), 1 - torch.eye(O, dtype=F64)
    kept = teacher.softmax(1).mean(0).argsort(descending=True)[:2].sort().values
    narrow = plain(cost[kept], theirs=theirs[kept][:, kept], ours=ours)
    expected = ask("transport", student, teacher[:, kept], narrow, kind=kind)
    assert not caplog.messages

    objective = make("transport", (plain(cost, theirs=theirs, ours=ours),), kind=kind, likeliest=2)
    torch.testing.assert_close(term(objective, student, teacher), expected)
    term(objective, student, teacher)
    [said] = caplog.messages
    assert f"{1 - float(teacher.softmax(1).mean(0)[kept].sum()):.2g} of what it says of its {K1}" in said


def test_of_several_teachers_the_one_that_loses_most_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """The first is nearly certain of two of its categories, the second of none, the third has too few to lose any."""
    sure = torch.tensor([9.0, 9.0, 0.0, 0.0, 0.0], dtype=F64).expand(B, K1)
    teacher = torch.cat([sure, torch.zeros(B, 4, dtype=F64), torch.zeros(B, 2, dtype=F64)], 1)
    objective = make("transport", (plain(costs()), plain(costs()[:4]), plain(costs()[:2])), likeliest=2)
    term(objective, drawn(B, O), teacher)
    [said] = caplog.messages
    assert "teacher 2 of 3 loses most, in the first batch 0.5 of what it says of its 4." in said


def test_workers_hear_a_teacher_of_many_categories_on_the_same_ones() -> None:
    student, teacher, cost = drawn(B, O), 3 * drawn(B, K1, seed=1), costs()
    objective = make("transport", (plain(cost),), likeliest=2)
    whole = term(objective, student, teacher)
    everybody = probabilities(teacher, 1.0)
    asked: list[int] = []

    def gather(rows: Tensor) -> Tensor:
        asked.append(len(rows))
        return everybody

    for first, count in ((0, 4), (4, 2), (6, 0)):
        rows = slice(first, first + count)
        targets = F.one_hot(torch.arange(B) % O, O).to(F64)
        view = View(student[rows], targets[rows], teacher[rows], B, first, gather)
        torch.testing.assert_close(objective.terms(view)["teacher"], whole[rows])
    assert asked == [4, 2, 0], "who has no row in a batch takes part, or the others wait for ever"
