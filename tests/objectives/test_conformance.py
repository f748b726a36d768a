"""What every registered objective must satisfy, in closed and in open tasks."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from selkd.objectives import REGISTRY, Context, Objective, View
from selkd.objectives.kd import restrict
from selkd.objectives.links import link

B, K, IDS = 12, 7, (4, 1, 6)
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "cross-entropy": [{}, {"truth": "logit-adjusted"}, {"truth": "class-balanced"}],
    "kd": [{"temperature": 3.0}],
    "selkd": [
        {"epsilon": 2.0},
        {"epsilon": 2.0, "teacher_columns": "free"},
        {"epsilon": 2.0, "teacher_columns": "batch", "student_columns": "batch"},
        {"epsilon": 2.0, "teacher_columns": "target", "student_columns": "target", "target": (0.5, 0.3, 0.2)},
        {"epsilon": 2.0, "mass": 0.7},
        {"epsilon": 2.0, "parity": "official"},
    ],
    "transport": [{"kind": kind} for kind in ("sharp", "regularised", "debiased")],
    "mapped": [{}, {"epsilon": 0.01}],
    "shared-kd": [{"temperature": 3.0}],
}


def cases() -> Iterator[Any]:
    for name in REGISTRY:
        for settings in VARIANTS.get(name, [{}]):
            for mode in ("closed", "open"):
                yield pytest.param(name, settings, mode, id=f"{name}-{mode}-{settings}")


every_case = pytest.mark.parametrize(("name", "settings", "mode"), list(cases()))


def make(name: str, settings: dict[str, Any], mode: str) -> Objective:
    ids = torch.tensor(IDS)
    counts = torch.tensor([40.0, 30.0, 20.0, 60.0][: len(IDS) + (mode == "open")], dtype=torch.float64)
    cls, same = REGISTRY[name], torch.eye(K, dtype=torch.bool)
    cost = 1 - same.double()
    links = (link(cost, same, ids, mode, theirs=cost, ours=cost),)  # pyright: ignore[reportArgumentType]
    return cls(cls.Settings(**settings), Context(ids, mode, counts, links))  # pyright: ignore[reportArgumentType]


def batch(mode: str, seed: int = 0, scale: float = 3.0, dtype: torch.dtype = torch.float64) -> View:
    generator = torch.Generator().manual_seed(seed)
    outputs = len(IDS) + (mode == "open")
    labels = torch.arange(B) % outputs
    return View(
        student=(scale * torch.randn(B, outputs, generator=generator, dtype=torch.float64)).to(dtype).requires_grad_(),
        targets=F.one_hot(labels, outputs).to(dtype),
        teacher=(scale * torch.randn(B, K, generator=generator, dtype=torch.float64)).to(dtype),
        size=B,
    )


def total(objective: Objective, view: View) -> Tensor:
    terms = objective.terms(view)
    return sum((objective.weights[n] * t.sum() for n, t in terms.items()), torch.zeros(())) / view.size


def test_every_objective_has_its_variants_here() -> None:
    assert set(VARIANTS) == set(REGISTRY)


@every_case
def test_terms_are_named_unreduced_and_weighted(name: str, settings: dict[str, Any], mode: str) -> None:
    objective, view = make(name, settings, mode), batch(mode)
    terms = objective.terms(view)
    assert set(terms) == {n for n, w in objective.weights.items() if w}
    assert all(term.shape == (B,) for term in terms.values())


@every_case
def test_switched_off_is_cross_entropy_bit_for_bit(name: str, settings: dict[str, Any], mode: str) -> None:
    view, plain = batch(mode), batch(mode)
    off = {**settings, "alpha": 0.0} if REGISTRY[name].needs_teacher else settings
    reference = make("cross-entropy", {k: v for k, v in settings.items() if k == "truth"}, mode)
    a, b = total(make(name, off, mode), view), total(reference, plain)
    a.backward()
    b.backward()
    assert torch.equal(a, b)
    assert torch.equal(view.student.grad, plain.student.grad)  # pyright: ignore[reportArgumentType]


@every_case
def test_the_teacher_gets_no_gradient(name: str, settings: dict[str, Any], mode: str) -> None:
    view = batch(mode)
    assert view.teacher is not None
    before = view.teacher.clone()
    view.teacher.requires_grad_()
    total(make(name, settings, mode), view).backward()
    assert torch.equal(view.teacher, before)
    if view.teacher.grad is not None and not settings.get("parity"):
        assert name == "kd" or not view.teacher.grad.any()


@every_case
def test_permuting_the_batch_permutes_the_terms(name: str, settings: dict[str, Any], mode: str) -> None:
    objective, view = make(name, settings, mode), batch(mode)
    order = torch.randperm(B, generator=torch.Generator().manual_seed(1))
    assert view.teacher is not None
    shuffled = View(view.student[order], view.targets[order], view.teacher[order], B)
    for term, value in objective.terms(view).items():
        torch.testing.assert_close(objective.terms(shuffled)[term], value[order], rtol=1e-7, atol=1e-9)


@every_case
def test_shares_of_a_batch_give_the_terms_of_the_whole(name: str, settings: dict[str, Any], mode: str) -> None:
    objective, view = make(name, settings, mode), batch(mode)
    assert view.teacher is not None
    whole = objective.terms(view)
    everybody = torch.cat([view.student, view.teacher, view.targets], 1)
    for first, last in [(0, 5), (5, 5), (5, B)]:
        own = slice(first, last)
        share = View(view.student[own], view.targets[own], view.teacher[own], B, first, lambda _: everybody)
        for term, value in objective.terms(share).items():
            torch.testing.assert_close(value, whole[term][first:last], rtol=1e-9, atol=1e-12)


@every_case
def test_a_student_equal_to_its_teacher_has_no_teacher_loss(name: str, settings: dict[str, Any], mode: str) -> None:
    objective, view = make(name, settings, mode), batch(mode)
    if "teacher" not in objective.weights:
        return
    if reason := objective.omitted.get("zero at match"):
        pytest.skip(reason)
    assert view.teacher is not None
    heat = float(settings.get("temperature") or settings["epsilon"])
    same = (heat * restrict(view.teacher / heat, torch.tensor(IDS), mode == "open")).requires_grad_()
    term = objective.terms(View(same, view.targets, view.teacher, B))["teacher"]
    assert term.abs().max() < 1e-10
    term.sum().backward()
    assert same.grad is not None
    assert same.grad.abs().max() < 1e-6


@every_case
def test_the_teacher_term_sums_to_no_less_than_zero(name: str, settings: dict[str, Any], mode: str) -> None:
    objective = make(name, settings, mode)
    if settings.get("parity") or "teacher" not in objective.weights:
        return
    if reason := objective.omitted.get("not below zero"):
        pytest.skip(reason)
    for seed in range(50):
        assert objective.terms(batch(mode, seed))["teacher"].sum() >= -1e-9


@every_case
def test_an_unselected_category_changes_nothing_but_the_reject_column(
    name: str, settings: dict[str, Any], mode: str
) -> None:
    """Swapping two unselected columns of the teacher is invisible; in closed tasks their values are."""
    objective, view = make(name, settings, mode), batch(mode)
    if reason := objective.omitted.get("unselected"):
        pytest.skip(reason)
    assert view.teacher is not None
    other = view.teacher.clone()
    other[:, [0, 2]] = view.teacher[:, [2, 0]]
    if mode == "closed":
        other[:, [0, 2, 3, 5]] += 5
    terms = objective.terms(View(view.student, view.targets, other, B))
    for term, value in objective.terms(view).items():
        torch.testing.assert_close(terms[term], value, rtol=1e-9, atol=1e-12)


@every_case
@pytest.mark.parametrize("scale", [0.0, 1e4])
def test_float32_stays_finite_at_extreme_logits(name: str, settings: dict[str, Any], mode: str, scale: float) -> None:
    objective, view = make(name, settings, mode), batch(mode, scale=scale, dtype=torch.float32)
    if reason := objective.omitted.get("finite"):
        pytest.skip(reason)
    loss = total(objective, view)
    loss.backward()
    assert torch.isfinite(loss)
    assert view.student.grad is not None
    assert torch.isfinite(view.student.grad).all()


@every_case
def test_a_batch_without_selected_rows_is_no_accident(name: str, settings: dict[str, Any], mode: str) -> None:
    if mode == "closed" or settings.get("parity"):
        return
    objective, view = make(name, settings, mode), batch(mode)
    view.targets.zero_()[:, -1] = 1
    loss = total(objective, view)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(view.student.grad).all()  # pyright: ignore[reportArgumentType, reportOptionalMemberAccess]
