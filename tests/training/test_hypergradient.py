"""The one-step hypergradient, against double back-propagation and finite differences, in float64."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from selkd import models
from selkd.objectives import Context, Objective, View, find
from selkd.objectives.links import Link
from selkd.selection import RowEvidence
from selkd.training.batches import Batch
from selkd.training.forward import Forward, Parameters
from selkd.training.hypergradient import along, gradient_at, stepped, weight_slopes
from selkd.training.randomness import RowKeys
from selkd.weighting import Moment, Weighting
from selkd.weighting.learned import BiKD, BiKDSettings
from selkd.weighting.tgeo import TGeo, TGeoSettings

B, K, ETA = 10, 6, 0.3
OBJECTIVES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "kd": ("kd", "closed", {}),
    "kd, open": ("kd", "open", {}),
    "selkd, closed": ("selkd", "closed", {"epsilon": 2.0}),
    "selkd, both plans with columns": (
        "selkd", "closed", {"epsilon": 2.0, "student_columns": "target", "tolerance": 1e-13},
    ),
    "transport": ("transport", "closed", {"epsilon": 0.3, "tolerance": 1e-12}),
    "transport, row by row": ("transport", "open", {"epsilon": 0.01, "kind": "regularised", "tolerance": 1e-12}),
    "selkd, open": ("selkd", "open", {"epsilon": 2.0, "mass": 0.8}),
}  # fmt: skip
every_objective = pytest.mark.parametrize("case", list(OBJECTIVES))
POLICIES: dict[str, Callable[[RowEvidence], Weighting]] = {
    "tgeo": lambda evidence: TGeo(TGeoSettings(dim=6), evidence, 0),
    "attention": lambda evidence: TGeo(TGeoSettings(dim=6, heads=2), evidence, 0),
    "bikd": lambda evidence: BiKD(BiKDSettings(dim=6), evidence, 0),
}


class Problem(NamedTuple):
    """One training batch, one outer batch, a student with batch statistics and an untrained ratio network."""

    forward: Forward
    objective: Objective
    policy: Weighting
    inner: Batch
    outer: Batch

    def losses(self, theta: Parameters) -> dict[str, Tensor]:
        return self.objective.terms(self.view(theta, self.inner))

    def view(self, theta: Parameters, batch: Batch) -> View:
        return View(self.forward.at(theta, batch), batch.targets, batch.teacher, B)

    def outer_loss(self, theta: Parameters) -> Tensor:
        return self.objective.truth_term(self.view(theta, self.outer)).mean()

    def weights(self) -> Any:
        theta = {name: p.detach() for name, p in self.forward.parameters().items()}
        student = self.view(theta, self.inner).student
        assert self.inner.teacher is not None
        teacher = self.inner.teacher[:, : student.shape[1]]
        return self.policy.weights(Moment(student, teacher, self.inner.targets, self.inner.ids, 0, 0.0))

    def inner_loss(self, theta: Parameters, weights: Any) -> Tensor:
        losses = self.losses(theta)
        return torch.stack([(weights[name] * loss).mean() for name, loss in losses.items()]).sum()


class Transformer(nn.Module):
    """Four patches of an 8 x 8 image that attend to each other."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(1, 8, 4, 4)
        self.attend = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)
        self.leave = nn.Linear(8, outputs)

    def forward(self, images: Tensor) -> Tensor:
        return self.leave(self.attend(self.enter(images).flatten(2).mT).mean(1))


def problem(case: str, policy: str = "tgeo", student: Callable[[int], nn.Module] | None = None) -> Problem:
    name, mode, settings = OBJECTIVES[case]
    outputs, generator = 3 + (mode == "open"), torch.Generator().manual_seed(5)
    torch.manual_seed(1)
    model = models.build("resnet8", channels=1, outputs=outputs, image_size=8) if student is None else student(outputs)

    def batch(first: int) -> Batch:
        labels = torch.arange(B) % outputs
        images = torch.rand(B, 1, 8, 8, generator=generator, dtype=torch.float64)
        teacher = 2 * torch.randn(B, K, generator=generator, dtype=torch.float64)
        return Batch(images, torch.arange(first, first + B), F.one_hot(labels, outputs).double(), teacher, B, 0, 0)

    cost = torch.rand(K, outputs, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    links = (Link(cost / cost.max(), torch.zeros(K, outputs, dtype=torch.bool)),)
    context = Context(torch.arange(3), mode, torch.full((outputs,), 10.0), links)  # pyright: ignore[reportArgumentType]
    objective = find(name)(find(name).Settings(**settings), context)
    answers = torch.randn(12, outputs, generator=generator, dtype=torch.float64).log_softmax(1)
    evidence = RowEvidence(torch.arange(12), torch.arange(12) % outputs, outputs, 1, lambda: answers)
    learned = POLICIES[policy](evidence).double()
    return Problem(Forward(model.double(), RowKeys(), 0), objective, learned, batch(0), batch(B))


def ours(p: Problem) -> list[Tensor]:
    """The gradient of the outer loss in omega, as the stepper finds it."""
    theta, weights = dict(p.forward.parameters()), p.weights()
    fixed = {name: weight.detach() for name, weight in weights.items()}
    gradient = gradient_at(lambda at: p.inner_loss(at, fixed), theta)
    v = gradient_at(p.outer_loss, stepped(theta, gradient, ETA))
    slopes = weight_slopes(p.losses, theta, v, eta=ETA, rows=B)
    surrogate = torch.stack([(slopes[name] * weight).sum() for name, weight in weights.items()]).sum()
    return list(torch.autograd.grad(surrogate, list(p.policy.parameters())))


def after_one_step(p: Problem, *, graph: bool) -> Tensor:
    """The outer loss after one gradient step of the inner one, as a function of omega."""
    theta = {name: value.detach().requires_grad_() for name, value in p.forward.parameters().items()}
    found = torch.autograd.grad(p.inner_loss(theta, p.weights()), list(theta.values()), create_graph=graph)
    moved = {name: value - ETA * grad for (name, value), grad in zip(theta.items(), found, strict=True)}
    return p.outer_loss(moved)


def gap(found: list[Tensor], expected: list[Tensor]) -> float:
    """Largest error over the largest number."""
    one, other = (torch.cat([part.flatten() for part in parts]) for parts in (found, expected))
    return float((one - other).abs().max() / other.abs().max())


@every_objective
@pytest.mark.parametrize("policy", list(POLICIES))
def test_it_is_that_of_double_back_propagation(case: str, policy: str) -> None:
    p = problem(case, policy)
    expected = torch.autograd.grad(after_one_step(p, graph=True), list(p.policy.parameters()))
    assert gap(ours(p), list(expected)) <= 1e-8


@pytest.mark.parametrize("case", ["kd", "selkd, open"])
def test_it_is_that_of_double_back_propagation_for_a_student_that_attends(case: str) -> None:
    p = problem(case, student=Transformer)
    with sdpa_kernel(SDPBackend.MATH):  # the one implementation that can be differentiated twice
        expected = torch.autograd.grad(after_one_step(p, graph=True), list(p.policy.parameters()))
    assert gap(ours(p), list(expected)) <= 1e-8


@pytest.mark.slow
def test_the_vision_transformer_has_derivatives_along_a_direction() -> None:
    """Of all rows together, as one backward pass has it."""
    torch.manual_seed(0)
    network = models.build("torchvision:vit_b_16", channels=3, outputs=3, image_size=16).train()
    nn.init.normal_(
        network.get_parameter("heads.head.weight")
    )  # torchvision's are zero, and nothing would depend on the rest
    theta = {name: p.detach() for name, p in network.named_parameters()}
    images, targets = torch.rand(2, 3, 16, 16), torch.tensor([0, 2])

    def losses(at: Parameters) -> dict[str, Tensor]:
        logits = functional_call(network, dict(at), (images,))
        return {"truth": F.cross_entropy(logits, targets, reduction="none")}

    gradient = gradient_at(lambda at: losses(at)["truth"].sum(), theta)
    expected = sum(float(part.double().square().sum()) for part in gradient.values())
    found = along(losses, theta, gradient)["truth"]
    assert found.shape == (2,)
    assert float(found.sum()) == pytest.approx(expected, rel=1e-4)
    assert expected > 0.1


@every_objective
def test_it_is_that_of_finite_differences_in_omega(case: str) -> None:
    p = problem(case)
    generator, h = torch.Generator().manual_seed(0), 1e-6
    for _ in range(3):
        way = [torch.randn(w.shape, generator=generator, dtype=torch.float64) for w in p.policy.parameters()]
        slope = sum(float((a * b).sum()) for a, b in zip(ours(p), way, strict=True))
        values = []
        for sign in (1, -2):
            with torch.no_grad():
                for omega, part in zip(p.policy.parameters(), way, strict=True):
                    omega.add_(sign * h * part)
            values.append(float(after_one_step(p, graph=False).detach()))
        with torch.no_grad():
            for omega, part in zip(p.policy.parameters(), way, strict=True):
                omega.add_(h * part)
        assert slope == pytest.approx((values[0] - values[1]) / (2 * h), rel=1e-4)


@every_objective
def test_derivatives_along_a_direction_are_the_rows_own(case: str) -> None:
    """Also where a plan couples the rows: row i's is the derivative of row i's loss, whatever else moves it."""
    p = problem(case)
    theta = {name: value.detach().requires_grad_() for name, value in p.forward.parameters().items()}
    direction = gradient_at(p.outer_loss, theta)
    slopes = weight_slopes(p.losses, theta, direction, eta=B, rows=-1)  # the derivatives times B
    for name, losses in p.losses(theta).items():
        for row, loss in enumerate(losses):
            grads = torch.autograd.grad(loss, list(theta.values()), retain_graph=True)
            expected = sum(float((g * v).sum()) for g, v in zip(grads, direction.values(), strict=True))
            assert float(slopes[name][row]) / B == pytest.approx(expected, rel=1e-8, abs=1e-12)


def test_neither_pass_touches_parameters_gradients_or_running_statistics() -> None:
    p = problem("kd")
    before = {name: value.clone() for name, value in p.forward.model.state_dict().items()}
    ours(p)
    assert all(torch.equal(value, before[name]) for name, value in p.forward.model.state_dict().items())
    assert all(parameter.grad is None for parameter in p.forward.model.parameters())


def test_forward_mode_under_float32_agrees_with_float64() -> None:
    p = problem("kd")
    single: Callable[[Any], Any] = lambda part: part.float() if part.is_floating_point() else part  # noqa: E731
    narrow = [Batch(*(single(v) if isinstance(v, Tensor) else v for v in vars(b).values())) for b in (p.inner, p.outer)]
    expected = ours(p)
    p.forward.model.float()
    p.policy.float()
    found = ours(p._replace(inner=narrow[0], outer=narrow[1]))
    assert gap([part.double() for part in found], expected) < 1e-2


@every_objective
@pytest.mark.parametrize("policy", ["tgeo", "attention"])
def test_following_it_lowers_the_outer_loss_after_the_step(case: str, policy: str) -> None:
    """From the same student: the network that learned beats the one that it was."""
    p = problem(case, policy)
    learner = torch.optim.Adam(p.policy.parameters(), 0.02)
    before = float(after_one_step(p, graph=False).detach())
    for _ in range(10):
        for omega, slope in zip(p.policy.parameters(), ours(p), strict=True):
            omega.grad = slope
        learner.step()
    assert float(after_one_step(p, graph=False).detach()) < before
