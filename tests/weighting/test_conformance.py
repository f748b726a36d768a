"""What every registered weighting must satisfy."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from selkd.selection import RowEvidence
from selkd.weighting import WEIGHTINGS, Moment, Weighting
from selkd.weighting.learned import Learned

VARIANTS: dict[str, list[dict[str, Any]]] = {
    "fixed": [{"ratio": 0.3}],
    "confidence": [{"of": "label"}, {"of": "top"}],
    "dp-transfer": [{"of": "label"}, {"of": "top"}],
    "bikd": [{}, {"layers": 3, "bounded": True}],
    "tgeo": [
        {}, {"parity": "official"}, {"features": "summary"}, {"layers": 1}, {"warmup": 0.5}, {"bounded": True},
        {"heads": 2}, {"heads": 3, "layers": 3, "features": "summary"},
    ],
}  # fmt: skip
CASES = [(name, settings) for name in WEIGHTINGS for settings in VARIANTS.get(name, [{}])]
every_case = pytest.mark.parametrize(("name", "settings"), CASES, ids=[f"{n}-{s}" for n, s in CASES])


def make(name: str, settings: dict[str, Any], evidence: RowEvidence, seed: int = 0) -> Weighting:
    cls = WEIGHTINGS[name]
    return cls(cls.Settings(**settings), evidence, seed).double()


def begun_of(moment: Moment) -> Tensor:
    assert moment.begun is not None
    return moment.begun


@every_case
def test_what_is_recorded_lies_between_zero_and_one(
    name: str, settings: dict[str, Any], evidence: RowEvidence, moment: Moment
) -> None:
    policy = make(name, settings, evidence)
    found = policy.believed(moment, policy.weights(moment))
    assert found.shape == (12,)
    assert ((found >= 0) & (found <= 1)).all()


@every_case
def test_weights_are_one_a_row_between_zero_and_one(
    name: str, settings: dict[str, Any], evidence: RowEvidence, moment: Moment
) -> None:
    found = make(name, settings, evidence).weights(moment)
    assert set(found) <= {"truth", "teacher"}
    assert "teacher" in found
    for weight in found.values():
        assert weight.shape == (12,)
        assert ((weight >= 0) & (weight <= 1)).all()


@every_case
def test_permuting_the_rows_permutes_the_weights(
    name: str, settings: dict[str, Any], evidence: RowEvidence, moment: Moment
) -> None:
    policy, order = make(name, settings, evidence), torch.randperm(12, generator=torch.Generator().manual_seed(1))
    shuffled = replace(
        moment, student=moment.student[order], teacher=moment.teacher[order], targets=moment.targets[order],
        ids=moment.ids[order], begun=begun_of(moment)[order],
    )  # fmt: skip
    for term, weight in policy.weights(moment).items():
        torch.testing.assert_close(policy.weights(shuffled)[term], weight[order], rtol=1e-12, atol=1e-15)


@every_case
def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_generator_alone(
    name: str, settings: dict[str, Any], evidence: RowEvidence, moment: Moment
) -> None:
    before = torch.get_rng_state()
    one, again = (make(name, settings, evidence, seed=5).weights(moment) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[term], again[term]) for term in one)


@every_case
def test_only_learned_weightings_have_parameters_and_say_that_they_need_outer_rows(
    name: str, settings: dict[str, Any], evidence: RowEvidence
) -> None:
    policy = make(name, settings, evidence)
    learns = any(p.requires_grad for p in policy.parameters())
    assert learns == policy.settings.needs_outer
    assert isinstance(policy, Learned) or not list(policy.parameters())


@every_case
@pytest.mark.parametrize("scale", [0.0, 1e4])
def test_extreme_logits_give_finite_weights_in_float32(
    name: str, settings: dict[str, Any], evidence: RowEvidence, moment: Moment, scale: float
) -> None:
    parts = (moment.student, moment.teacher, begun_of(moment))
    student, teacher, begun = ((scale * part).float() for part in parts)
    extreme = replace(moment, student=student, teacher=teacher, targets=moment.targets.float(), begun=begun)
    for weight in make(name, settings, evidence).float().weights(extreme).values():
        assert weight.isfinite().all()


@every_case
def test_state_that_is_loaded_gives_the_same_weights(
    name: str, settings: dict[str, Any], evidence: RowEvidence, moment: Moment
) -> None:
    policy, other = make(name, settings, evidence, seed=1), make(name, settings, evidence, seed=1)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.1)
    other.load_state_dict(policy.state_dict())
    for term, weight in policy.weights(moment).items():
        assert torch.equal(other.weights(moment)[term], weight)
