"""Students that begin as trained ones, and DP transfer, which asks them what they knew."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from selkd.cleaning import unneeded
from selkd.config import RunConfig, Workspace
from selkd.errors import UserError
from selkd.objectives.kd import restrict
from selkd.reproduction import reproduce
from selkd.tracking import load_student, save_student
from selkd.training.run import Recording, fit, train
from selkd.training.setup import Setup
from selkd.training.weighing import widened
from selkd.training.workers import Workers
from selkd.weighting.transfer import Transfer, TransferSettings
from tests.training.loops import loop_of

CPU = torch.device("cpu")
QUIET = Recording(deliver=False, figures=False)
TRANSFER = {"policy": "dp-transfer"}
MODES = pytest.mark.parametrize("mode", ["closed", "open"])


def config(mode: str = "closed", **changes: Any) -> RunConfig:
    plain: dict[str, Any] = {
        "data": {"rows_per_category": 12 if mode == "closed" else 4, "augment": {"crop": 1}},
        "task": {"categories": ["three", "five"], "mode": mode},
        "teacher": "untrained",
        "student": {"model": "mlp", "hidden": [6]},
        "objective": {"name": "kd", "gamma": 0.0},
        "training": {"epochs": 2, "batch_size": 8, "precision": "float64", "keep": "last", "views": 2},
        "workers": {"device": "cpu"},
    }
    return RunConfig.model_validate(plain | changes)


def begun(workspace: Workspace, mode: str = "closed") -> str:
    """The key of a student that was trained a little by labels alone."""
    return train(config(mode, objective="cross-entropy", name="before"), workspace, recording=QUIET).key


def weights(workspace: Workspace, settings: RunConfig) -> list[Tensor]:
    return list(fit(settings, workspace, Workers(), lambda _: None, keep=False)[1].state_dict().values())


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(map(torch.equal, one, other))


def test_a_student_begins_as_the_one_it_is_told_to(workspace: Workspace) -> None:
    key = begun(workspace)
    before = load_student(workspace.runs / key / "student")[0].double()
    for start in (key, str(workspace.runs / key), str(workspace.runs / key / "student")):
        setup = Setup.of(config(start=start), workspace, Workers(), CPU)
        assert same(list(setup.student().state_dict().values()), list(before.state_dict().values()))
    plain = Setup.of(config(), workspace, Workers(), CPU).student()
    assert not same(list(plain.state_dict().values()), list(before.state_dict().values()))


def test_a_key_tells_of_the_start_only_where_there_is_one() -> None:
    assert config(start=None).key == config().key
    assert config(start="a").key != config(start="b").key != config().key


@MODES
def test_a_student_s_answers_as_a_teacher_s_are_given_back_by_restriction(mode: str) -> None:
    ids, outputs = torch.tensor([3, 5]), 2 if mode == "closed" else 3
    student = 5 * torch.randn(7, outputs, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    wide = widened(student, ids, 10)
    assert wide.shape == (7, 10)
    for tau in (1.0, 4.0):
        torch.testing.assert_close(restrict(wide / tau, ids, mode == "open"), student / tau)


@MODES
def test_a_teacher_that_is_the_student_as_it_began_gives_no_loss_and_no_slope_at_first(
    workspace: Workspace, mode: str
) -> None:
    setup = Setup.of(config(mode, start=begun(workspace, mode), weighting=TRANSFER), workspace, Workers(), CPU)
    loop = loop_of(setup)
    batch = next(loop.batches.epoch(0, 0, 1))
    assert batch.begun is not None
    batch = dataclasses.replace(batch, teacher=widened(batch.begun, setup.task.ids, 10))
    _, terms = loop._terms(batch, loop.forward(batch))
    assert terms["teacher"].abs().max() < 1e-12
    terms["teacher"].sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() < 1e-9 for p in loop.model.parameters())


@MODES
@pytest.mark.parametrize("of", ["label", "top"])
def test_the_loss_is_the_published_one(workspace: Workspace, mode: str, of: str) -> None:
    """T^2 (m KL(q_t || p) + (1 - m) KL(q_f || p)), m = 1 where the teacher is surer; ties are the student's."""
    policy = {**TRANSFER, "of": of}
    setup = Setup.of(config(mode, start=begun(workspace, mode), weighting=policy), workspace, Workers(), CPU)
    loop = loop_of(setup)
    batch = next(loop.batches.epoch(0, 0, 1))
    logits = (
        loop.forward(batch) + torch.linspace(-1, 1, len(batch.ids), dtype=torch.float64)[:, None] ** 3 * batch.targets
    )
    _, terms = loop._terms(batch, logits)
    assert batch.teacher is not None and batch.begun is not None
    tau, told = 4.0, batch.teacher.double()
    sure = [restrict(told, setup.task.ids, mode == "open").softmax(1), batch.begun.softmax(1)]
    t, f = ((p * batch.targets).sum(1) if of == "label" else p.amax(1) for p in sure)
    assert (t > f).any() and (t < f).any()
    q_t, q_f = restrict(told / tau, setup.task.ids, mode == "open").softmax(1), (batch.begun / tau).softmax(1)
    expected = torch.where(t > f, _kl(q_t, logits / tau), _kl(q_f, logits / tau)) * tau**2
    torch.testing.assert_close(terms["teacher"], expected)


def _kl(p: Tensor, logits: Tensor) -> Tensor:
    return (p * (p.log() - F.log_softmax(logits, 1))).sum(1)


def test_where_the_teacher_is_always_surer_it_is_plain_distillation_bit_for_bit(workspace: Workspace) -> None:
    folder = unsure(workspace)
    plain = config(start=folder)
    assert same(
        weights(workspace, config(start=folder, weighting={**TRANSFER, "of": "top"})), weights(workspace, plain)
    )


def unsure(workspace: Workspace) -> str:
    """A student to whom all categories are equally likely."""
    classifier, card = load_student(workspace.runs / begun(workspace) / "student")
    last = list(classifier.network.parameters())[-2:]
    with torch.no_grad():
        for parameter in last:
            parameter.zero_()
    folder = workspace.root / "unsure"
    folder.mkdir()
    save_student(folder, classifier, card)
    return str(folder)


def test_confidence_of_label_and_of_answer_agree_where_everybody_is_right() -> None:
    targets = F.one_hot(torch.arange(6) % 3, 3).double()
    generator = torch.Generator().manual_seed(1)
    teacher, before = ((4 * targets + torch.rand(6, 3, generator=generator)).softmax(1) for _ in range(2))
    masks = [_policy(of).follows(teacher, before, targets) for of in ("label", "top")]
    assert torch.equal(*masks)
    assert not _policy("label").follows(teacher, teacher, targets).any(), "ties are the student's"


def _policy(of: str) -> Transfer:
    settings = TransferSettings.model_validate({"of": of})
    return Transfer(settings, None, 0)  # pyright: ignore[reportArgumentType]


def test_the_copy_that_is_compared_with_never_moves(workspace: Workspace) -> None:
    key = begun(workspace)
    setup = Setup.of(config(start=key, weighting=TRANSFER), workspace, Workers(), CPU)
    before = [value.clone() for value in load_student(workspace.runs / key / "student")[0].state_dict().values()]
    loop = loop_of(setup)
    loop.fit(None)
    assert setup.began is not None
    assert same([value.float() for value in setup.began[0].state_dict().values()], before)
    assert not same([value.float() for value in loop.model.state_dict().values()], before)


def test_the_record_says_which_share_of_the_rows_followed_the_teacher(workspace: Workspace) -> None:
    found = train(config(start=begun(workspace), weighting=TRANSFER), workspace, recording=QUIET)
    assert set(found.history["ratio/min"]) | set(found.history["ratio/max"]) <= {0.0, 1.0}
    assert found.history["ratio/mean"].between(0, 1).all()


def test_it_goes_with_plans_and_labels_as_well(workspace: Workspace) -> None:
    key = begun(workspace, "open")
    settings = config("open", start=key, weighting=TRANSFER, objective={"name": "selkd", "gamma": 0.5})
    assert all(value.isfinite().all() for value in weights(workspace, settings))


def test_a_run_that_begins_as_another_is_reproduced_to_the_last_bit(workspace: Workspace) -> None:
    found = train(config(start=begun(workspace), weighting=TRANSFER), workspace, recording=QUIET)
    assert reproduce(found.key, workspace).verdict == "identical"


def test_a_student_that_others_began_as_is_kept(workspace: Workspace) -> None:
    """The study that it was of is gone."""
    of_study = dataclasses.replace(QUIET, tags={"selkd.study": "gone"})
    first = train(config(objective="cross-entropy", name="before"), workspace, recording=of_study).key
    assert [one.path for one in unneeded(workspace) if one.kind == "runs"] == [workspace.runs / first]
    train(config(start=first, weighting=TRANSFER), workspace, recording=QUIET)
    assert not [one for one in unneeded(workspace) if one.kind == "runs"]


def test_another_student_under_the_same_name_is_noticed(workspace: Workspace, tmp_path: Path) -> None:
    folder = unsure(workspace)
    train(config(start=folder), workspace, recording=QUIET)
    classifier, card = load_student(workspace.runs / begun(workspace) / "student")
    save_student(Path(folder), classifier, card)
    with pytest.raises(UserError, match="its start changed since it began"):
        train(config(start=folder), workspace, recording=QUIET)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"start": "nobody"}, "start: 'nobody' is neither a finished run in"),
        ({"task": {"categories": ["three", "six"]}}, "its categories being three, five and here three, six. Change"),
        ({"student": {"model": "mlp", "hidden": [5]}}, r"its settings being .*6.* and here .*5.*\. Change student"),
        ({"student": {"model": "cnn", "width": 4}}, "its architecture being mlp and here cnn. Change student.model"),
    ],
)
def test_a_student_that_cannot_begin_so_is_refused(workspace: Workspace, changes: dict[str, Any], told: str) -> None:
    settings = config(**({"start": begun(workspace)} | changes))
    with pytest.raises(UserError, match=told):
        train(settings, workspace, recording=QUIET)


def test_dp_transfer_needs_a_trained_student_and_no_labels() -> None:
    with pytest.raises(ValueError, match=r"start: weighting\.policy 'dp-transfer' compares"):
        config(weighting=TRANSFER)
    assert config(weighting=TRANSFER, start="a").mixes
