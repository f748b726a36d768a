"""Weightings in training: what they leave alone, what they learn, and the same student after a stop."""

import dataclasses
import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from selkd.config import RunConfig, Workspace
from selkd.data import Part, Splits
from selkd.errors import UserError
from selkd.objectives import View
from selkd.training.batches import Batch
from selkd.training.checkpoints import Checkpoints
from selkd.training.forward import Parameters
from selkd.training.loop import Epoch, Loop
from selkd.training.run import train
from selkd.training.setup import Setup
from selkd.training.unrolled import UnrolledStepper
from selkd.training.weighing import Compared, Weighing
from selkd.training.workers import Workers
from selkd.weighting.tgeo import TGeo
from tests.training.loops import loop_of

CPU = torch.device("cpu")
EPOCHS = 3  # of 24 rows: 2 x 15, less a fifth of outer rows
TGEO = {"policy": "tgeo", "dim": 8, "outer_rows": 3, "lr": 0.05}
ATTENDING = {**TGEO, "heads": 2}


def config(weighting: Any, objective: Any = "kd", mode: str = "closed", **training: Any) -> RunConfig:
    return RunConfig.model_validate(
        {
            "data": {"rows_per_category": 15 if mode == "closed" else 3, "outer": 0.2 if mode == "closed" else 0.34},
            "task": {"categories": ["three", "five"], "mode": mode},
            "teacher": "untrained",
            "student": training.pop("student", {"model": "mlp", "hidden": [6]}),
            "objective": objective,
            "weighting": weighting,
            "training": {"epochs": EPOCHS, "batch_size": 6, "precision": "float64", "keep": "last", **training},
            "workers": {"device": "cpu"},
        }
    )


def prepared(settings: RunConfig, workspace: Workspace) -> Setup:
    return Setup.of(settings, workspace, Workers(), CPU)


def trained(setup: Setup, checkpoints: Checkpoints | None = None, stop_after: int = 0) -> list[Tensor]:
    """The student's weights, without a look at validation rows."""

    def report(epoch: Epoch) -> None:
        if epoch.epoch == stop_after + 1 and stop_after:
            raise KeyboardInterrupt

    loop = loop_of(setup)
    loop.fit(checkpoints, report)
    return list(loop.model.state_dict().values())


def omega(setup: Setup) -> list[Tensor]:
    return [p.detach().clone() for p in weighing(setup).policy.parameters()]


def weighing(setup: Setup) -> Weighing:
    assert setup.weighing is not None
    return setup.weighing


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(map(torch.equal, one, other))


def test_the_default_weighs_nothing(workspace: Workspace) -> None:
    assert prepared(config("fixed"), workspace).weighing is None


def test_a_fixed_ratio_is_that_of_the_objective_s_weights(workspace: Workspace) -> None:
    by_ratio = trained(prepared(config({"policy": "fixed", "ratio": 0.3}), workspace))
    by_weights = trained(prepared(config("fixed", {"name": "kd", "gamma": 0.7, "alpha": 0.3}), workspace))
    for one, other in zip(by_ratio, by_weights, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    ("weighting", "objective"),
    [({"policy": "fixed", "ratio": 0.0}, "kd"), (TGEO, {"name": "kd", "alpha": 0.0}), (TGEO, "cross-entropy")],
)
def test_switched_off_is_cross_entropy_bit_for_bit(workspace: Workspace, weighting: Any, objective: Any) -> None:
    plain = trained(prepared(config("fixed", "cross-entropy"), workspace))
    assert same(trained(prepared(config(weighting, objective), workspace)), plain)


TAU = 3.0


@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0])
def test_a_fixed_ratio_is_one_of_the_published_terms_or_their_mean(workspace: Workspace, ratio: float) -> None:
    """The loss and its gradient in the student's logits: bit for bit those of the terms, which are the formulas'."""
    setup = prepared(config({"policy": "fixed", "ratio": ratio}, {"name": "kd", "temperature": TAU}), workspace)
    loop = loop_of(setup)
    batch = next(loop.batches.epoch(0, 0, 1))
    logits = loop.forward(batch).detach().requires_grad_()
    assert batch.teacher is not None
    teacher = weighing(setup).over_the_task(batch.teacher.double())
    truth = -(batch.targets * logits.log_softmax(1)).sum(1)
    soft = (teacher / TAU).log_softmax(1)
    distilled = TAU**2 * (soft.exp() * (soft - (logits / TAU).log_softmax(1))).sum(1)

    view, terms = loop._terms(batch, logits)
    torch.testing.assert_close(terms, {"truth": truth, "teacher": distilled}, rtol=1e-12, atol=1e-14)
    found = weighing(setup).loss(Compared(batch, view, terms, loop.objective.weights, batch.size))
    sums = {name: term.sum() for name, term in terms.items()}
    expected = {0.0: sums["truth"], 0.5: (sums["truth"] + sums["teacher"]) / 2, 1.0: sums["teacher"]}[ratio]
    assert torch.equal(found, expected)
    slopes = [torch.autograd.grad(loss, logits, retain_graph=True)[0] for loss in (found, expected)]
    assert torch.equal(*slopes)
    assert slopes[0].abs().amax(1).min() > 0


@pytest.mark.parametrize(
    "policy", [{"policy": "annealed"}, {"policy": "random"}, {"policy": "bikd", "every": 3}, TGEO, ATTENDING]
)
def test_a_stopped_run_goes_on_as_if_nothing_had_been(workspace: Workspace, tmp_path: Path, policy: Any) -> None:
    whole, parts = (prepared(config(policy), workspace) for _ in range(2))
    expected = trained(whole)
    with pytest.raises(KeyboardInterrupt):
        trained(prepared(config(policy), workspace), Checkpoints(tmp_path / "kept"), stop_after=1)
    assert same(trained(parts, Checkpoints(tmp_path / "kept")), expected)
    assert same(omega(parts), omega(whole))
    assert torch.equal(weighing(parts).ratios.counts, weighing(whole).ratios.counts)
    assert weighing(whole).ratios.counts.sum((1, 2, 3, 4)).tolist() == [24] * EPOCHS


def test_looking_ahead_leaves_running_statistics_and_the_student_alone(workspace: Workspace) -> None:
    """A network that moves by nothing: the student is that of a run without outer passes, buffers included."""
    still = config({**TGEO, "lr": 1e-300}, student={"model": "resnet8"}, epochs=1)
    looking, blind = prepared(still, workspace), prepared(still, workspace)
    blind.splits = dataclasses.replace(blind.splits, outer=None)
    assert same(trained(looking), trained(blind))


def test_the_published_network_never_moves_and_ours_does(workspace: Workspace) -> None:
    for policy, moves in ((TGEO, True), (ATTENDING, True), ({"policy": "tgeo", "parity": "official"}, False)):
        setup = prepared(config(policy), workspace)
        before = omega(setup)
        trained(setup)
        assert same(omega(setup), before) != moves
        assert (setup.outer_batches() is not None) == moves


@pytest.mark.parametrize("mode", ["closed", "open"])
@pytest.mark.parametrize("policy", [TGEO, {"policy": "bikd"}, {"policy": "loss-rule"}])
def test_plans_are_weighed_as_well(workspace: Workspace, mode: str, policy: Any) -> None:
    found = trained(prepared(config(policy, {"name": "selkd", "epsilon": 2.0}, mode, epochs=1), workspace))
    assert all(value.isfinite().all() for value in found)


def test_outer_rows_do_not_train_and_validation_and_test_rows_are_not_read(workspace: Workspace) -> None:
    setup = prepared(config(TGEO), workspace)
    assert setup.splits.outer is not None
    assert not torch.isin(setup.rounds.evidence.ids, setup.splits.outer.ids).any()
    hidden = Part(cast(Any, Unreadable()), torch.arange(10))
    parts = Splits(setup.splits.train, hidden, hidden, setup.splits.outer)
    assert same(trained(dataclasses.replace(setup, splits=parts)), trained(setup))


class Unreadable:
    """Rows that nobody may look at."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was read")


def prepared_step(
    setup: Setup, precision: str = "float64", network: nn.Module | None = None
) -> tuple[Loop, UnrolledStepper, Callable[[], Compared]]:
    """A loop in training, its stepper, and what the student and teacher say of the first batch.

    `network` is another student's.
    """
    loop = loop_of(setup)
    loop.precision = precision
    if network is not None:
        loop.model.network = network
    loop.model.train()
    stepper = loop._stepper(loop.model, loop.optimiser.build(loop.model.parameters()))
    assert isinstance(stepper, UnrolledStepper)
    batch = next(loop.batches.epoch(0, 0, 1))

    def compared() -> Compared:
        view, terms = loop._terms(batch, loop._answered(batch))
        return Compared(batch, view, terms, loop.objective.weights, batch.size)

    return loop, stepper, compared


OBJECTIVES = [{"name": "kd", "gamma": 0.7, "alpha": 2.0}, {"name": "selkd", "epsilon": 2.0, "gamma": 0.4}]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=["kd", "selkd"])
def test_the_stepper_moves_its_network_along_the_gradient_of_the_outer_loss(
    workspace: Workspace, objective: Any
) -> None:
    """Against double back-propagation through the whole step, weights of the objective included."""
    setup = prepared(config(TGEO, objective, student={"model": "resnet8"}), workspace)
    loop, stepper, compared = prepared_step(setup)
    policy, eta = weighing(setup).policy, 0.2
    expected = torch.autograd.grad(_outer_loss(stepper, compared(), eta), list(policy.parameters()))
    for moved, slope in zip(moved_by(stepper, compared(), eta), expected, strict=True):
        torch.testing.assert_close(moved, slope, rtol=1e-7, atol=1e-8 * float(slope.abs().max()))
    assert all(p.grad is None for p in loop.model.parameters())


def _outer_loss(stepper: UnrolledStepper, compared: Compared, eta: float) -> Tensor:
    outer, batch = stepper.outer, compared.batch
    theta = {name: value.detach().requires_grad_() for name, value in outer.forward.parameters().items()}
    weights = stepper.weighing.weights(compared)
    terms = outer.compare(batch, outer.forward.at(theta, batch))
    inner = torch.stack([compared.constants[n] * (weights[n] * term).sum() for n, term in terms.items()]).sum()
    slopes = torch.autograd.grad(inner / batch.size, list(theta.values()), create_graph=True)
    moved: Parameters = {n: value - eta * s for (n, value), s in zip(theta.items(), slopes, strict=True)}
    ahead = outer.batch(0)
    view = View(outer.forward.at(moved, ahead), ahead.targets, size=ahead.size)
    return outer.objective.truth_term(view).mean()


def test_an_outer_loss_without_a_slope_teaches_nothing(workspace: Workspace) -> None:
    setup = prepared(config(TGEO), workspace)
    loop, stepper, compared = prepared_step(setup)
    loop.outer.labels.zero_()  # pyright: ignore[reportOptionalMemberAccess]
    with torch.no_grad():
        list(loop.model.parameters())[-1].copy_(torch.tensor([1e6, -1e6]))
    before = omega(setup)
    stepper.add(compared())
    stepper.update(1e-3)
    assert same(omega(setup), before)


class Distances(nn.Module):
    """Distances to points: an operation without a forward-mode derivative."""

    def __init__(self) -> None:
        super().__init__()
        self.points = nn.Parameter(torch.rand(2, 64, dtype=torch.float64))

    def forward(self, images: Tensor) -> Tensor:
        return -torch.cdist(images.flatten(1), self.points)


class Doubled(torch.autograd.Function):
    """An operation of one's own that says nothing of forward mode."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return 2 * grads[0]


class Own(nn.Linear):
    """A student of such an operation."""

    def forward(self, input: Tensor) -> Tensor:
        return cast(Any, Doubled.apply)(super().forward(input.flatten(1)))


@pytest.mark.parametrize("policy", ["tgeo", "bikd"])
@pytest.mark.parametrize(
    ("network", "told"),
    [
        (Distances, r"Distances \(_cdist_forward\)"),
        (lambda: Own(64, 2).double(), r"Own \(a torch.autograd.Function without jvp\)"),
    ],
)
def test_a_student_without_forward_mode_is_named_with_the_remedies(
    workspace: Workspace, policy: str, network: Callable[[], nn.Module], told: str
) -> None:
    _, stepper, compared = prepared_step(prepared(config(policy), workspace), network=network())
    stepper.add(compared())
    expected = (
        rf"^student\.model: weighting\.policy '{policy}' needs forward-mode derivatives, and torch has none of an "
        rf"operation of {told}\. Choose another student\.model or another weighting\.policy\.$"
    )
    with pytest.raises(UserError, match=expected):
        stepper.update(0.1)


def test_an_objective_without_forward_mode_is_named_with_the_remedies(workspace: Workspace) -> None:
    _, stepper, compared = prepared_step(prepared(config(TGEO), workspace))
    terms = stepper.outer.compare
    stepper.outer = dataclasses.replace(
        stepper.outer, compare=lambda batch, logits: terms(batch, cast(Any, Doubled.apply)(logits))
    )
    stepper.add(compared())
    with pytest.raises(UserError, match=r"^objective\.name: .* of KD .* Choose another objective\.name or another"):
        stepper.update(0.1)


def test_what_is_not_implemented_for_other_reasons_is_not_told_as_that(workspace: Workspace) -> None:
    _, stepper, compared = prepared_step(prepared(config(TGEO), workspace))

    def unfinished(*_: Any) -> dict[str, Tensor]:
        raise NotImplementedError("later")

    stepper.outer = dataclasses.replace(stepper.outer, compare=unfinished)
    stepper.add(compared())
    with pytest.raises(NotImplementedError, match="later"):
        stepper.update(0.1)


@pytest.mark.parametrize(("rows", "outer_rows", "batches"), [(6, 4, 1), (6, 2, 3), (6, 99, 1)])
def test_outer_batches_are_whole_and_go_round(workspace: Workspace, rows: int, outer_rows: int, batches: int) -> None:
    _, stepper, _ = prepared_step(prepared(config({**TGEO, "outer_rows": outer_rows}), workspace))
    found = [stepper.outer.batch(update) for update in range(2 * batches)]
    assert {len(batch.ids) for batch in found} == {min(outer_rows, rows)}
    first, second = (torch.cat([b.ids for b in part]) for part in (found[:batches], found[batches:]))
    assert first.unique().numel() == len(first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("size", [0.1, 1e6])
@pytest.mark.parametrize("bounded", [True, False])
def test_a_bounded_network_s_gradient_is_at_most_of_norm_one(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, size: float, bounded: bool
) -> None:
    setup = prepared(config({**TGEO, "bounded": bounded}), workspace)
    _, stepper, compared = prepared_step(setup)
    generator = torch.Generator().manual_seed(0)
    slopes = {name: size * torch.rand(6, generator=generator, dtype=torch.float64) for name in ("truth", "teacher")}
    monkeypatch.setattr(stepper, "_slopes", lambda *_: slopes)
    weights = weighing(setup).weights(compared())
    wanted = torch.stack([(slopes[name] * weights[name]).sum() for name in slopes]).sum()
    slope = torch.cat([part.flatten() for part in torch.autograd.grad(wanted, stepper.omega)])
    assert (float(slope.norm()) > 1) == (size > 1)
    moved = moved_by(stepper, compared())
    shrunk = slope / slope.norm().clamp(min=1) if bounded else slope
    torch.testing.assert_close(torch.cat([part.flatten() for part in moved]), shrunk, rtol=1e-5, atol=1e-12)


def noting_types(stepper: UnrolledStepper, monkeypatch: pytest.MonkeyPatch) -> dict[str, set[torch.dtype]]:
    """In which precision the forward-mode product answers, and what it finds: filled as the stepper learns."""
    found: dict[str, set[torch.dtype]] = {}
    slopes, terms = stepper._slopes, stepper.outer.compare

    def slopes_noted(compared: Compared, eta: float) -> dict[str, Tensor] | None:
        given = slopes(compared, eta)
        found["slopes"] = {slope.dtype for slope in (given or {}).values()}
        return given

    def terms_noted(batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        found["logits"] = {logits.dtype}
        return terms(batch, logits)

    monkeypatch.setattr(stepper, "_slopes", slopes_noted)
    stepper.outer = dataclasses.replace(stepper.outer, compare=terms_noted)
    return found


def moved_by(stepper: UnrolledStepper, compared: Compared, eta: float = 0.2) -> list[Tensor]:
    """How an update moves the network down its gradient, which is the gradient itself."""
    before = [p.detach().clone() for p in stepper.omega]
    stepper.learner = torch.optim.SGD(stepper.omega, 1.0)  # pyright: ignore[reportAttributeAccessIssue]
    stepper.add(compared)
    assert all(p.grad is None for p in stepper.omega)
    stepper.update(eta)
    return [start - now.detach() for start, now in zip(before, stepper.omega, strict=True)]


def test_mixed_precision_keeps_the_network_in_float32(workspace: Workspace) -> None:
    setup = prepared(config(TGEO, student={"model": "resnet8"}, precision="bf16", epochs=1), workspace)
    before = omega(setup)
    trained(setup)
    assert not same(omega(setup), before)
    assert {p.dtype for p in omega(setup)} == {torch.float32}
    assert all(p.isfinite().all() for p in omega(setup))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_features_ratios_and_the_forward_mode_product_are_float32_where_the_student_is_not(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    """And so close to float32 as the student's own answers are."""
    found = {}
    for kind in ("float32", precision):
        setup = prepared(config(TGEO, student={"model": "resnet8"}, precision="float32"), workspace)
        _, stepper, compared = prepared_step(setup, kind)
        seen = compared()
        assert (
            seen.view.student.dtype == {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[kind]
        )
        policy = weighing(setup).policy
        assert isinstance(policy, TGeo)
        assert policy.features(weighing(setup)._moment(seen)).dtype == torch.float32
        assert {weight.dtype for weight in weighing(setup).weights(seen).values()} == {torch.float32}
        noted = noting_types(stepper, monkeypatch)
        found[kind] = torch.cat([part.flatten() for part in moved_by(stepper, seen)])
        assert noted == {"logits": {torch.float32}, "slopes": {torch.float32}}
    apart = (found[precision] - found["float32"]).norm() / found["float32"].norm()
    assert 0 < apart < 0.1


def test_a_step_that_is_not_finite_names_its_rows(workspace: Workspace) -> None:
    settings = config(TGEO, optimiser={"lr": 1e200}, schedule={"name": "constant"})
    setup = prepared(settings, workspace)
    with pytest.raises(UserError, match=r"training stopped: .* at step \d+ .*rows \d+, \d+"):
        trained(setup)


@pytest.mark.parametrize("policy", [TGEO, ATTENDING, {"policy": "bikd"}])
@pytest.mark.parametrize(
    ("bounded", "told"),
    [(False, "above 0.99, .*, or set weighting.bounded"), (True, "above 0.9802, .* Lower weighting.lr.$")],
)
def test_a_network_that_is_stuck_at_its_bounds_is_told_of(
    workspace: Workspace, caplog: pytest.LogCaptureFixture, policy: dict[str, Any], bounded: bool, told: str
) -> None:
    for stuck in (False, True):
        setup = prepared(config({**policy, "bounded": bounded, "lr": 1e-300}, epochs=1), workspace)
        with torch.no_grad():
            list(weighing(setup).policy.parameters())[-1].add_(1e3 if stuck else 0.0)  # the last layer's bias
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            trained(setup)
        messages = [record.getMessage() for record in caplog.records if "ratios" in record.getMessage()]
        assert len(messages) == stuck
        assert not stuck or re.search(told, messages[0])


def test_the_record_has_the_ratios_of_every_epoch(workspace: Workspace) -> None:
    found = train(config(TGEO, precision="float32"), workspace)
    assert {"ratio/mean", "ratio/min", "ratio/max", "ratio/right", "ratio/wrong"} <= set(found.history.columns)
    assert all(found.history["ratio/min"].to_numpy() <= found.history["ratio/mean"].to_numpy())
    ratios = pd.read_parquet(found.folder / "ratios.parquet")
    assert list(ratios.columns) == ["epoch", "teacher", "gap", "ratio", "rows"]
    by_epoch = [int(ratios.loc[ratios["epoch"] == epoch + 1, "rows"].sum()) for epoch in range(EPOCHS)]
    assert by_epoch == [24] * EPOCHS
    assert set(ratios["teacher"]) <= {"right", "wrong"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"data": {"outer": 0.0}}, "data.outer: weighting.policy 'tgeo' is fitted on rows of its own"),
        ({"training": {"accumulate": 2}}, "training.accumulate: weighting.policy 'tgeo' learns from steps of one"),
        ({"objective": {"name": "kd", "gamma": 0}}, "objective.gamma: 0 leaves weighting.policy 'tgeo' nothing to mix"),
    ],
)
def test_what_cannot_learn_is_refused(changes: dict[str, Any], told: str) -> None:
    good = {"data": {"outer": 0.1}, "teacher": "t", "objective": "kd", "weighting": "tgeo"}
    with pytest.raises(ValueError, match=told):
        RunConfig.model_validate(good | changes)
