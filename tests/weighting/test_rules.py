"""The ratios of the policies that learn nothing, against their formulas."""

from dataclasses import replace

import torch

from selkd.selection import RowEvidence
from selkd.weighting import Moment
from selkd.weighting.base import WeightingSettings
from selkd.weighting.learned import BiKD, BiKDSettings
from selkd.weighting.plain import Annealed, AnnealedSettings, Random
from selkd.weighting.rules import Confidence, ConfidenceSettings, LossRule, PerClass
from selkd.weighting.tgeo import TGeo, TGeoSettings

NONE = WeightingSettings()


def test_annealing_goes_in_a_straight_line(evidence: RowEvidence, moment: Moment) -> None:
    policy = Annealed(AnnealedSettings(start=0.9, end=0.1), evidence, 0)
    for progress, ratio in ((0.0, 0.9), (0.25, 0.7), (1.0, 0.1)):
        found = policy.ratio(replace(moment, progress=progress))
        torch.testing.assert_close(found, torch.full_like(found, ratio), rtol=1e-14, atol=0)


def test_random_ratios_belong_to_the_row_and_the_step(evidence: RowEvidence, moment: Moment) -> None:
    policy = Random(NONE, evidence, 7)
    part = replace(moment, student=moment.student[3:5], ids=moment.ids[3:5])
    assert torch.equal(policy.ratio(part), policy.ratio(moment)[3:5])
    assert not torch.equal(policy.ratio(replace(moment, step=4)), policy.ratio(moment))
    assert not torch.equal(Random(NONE, evidence, 8).ratio(moment), policy.ratio(moment))


def test_a_category_s_ratio_is_the_teacher_s_accuracy_on_it(evidence: RowEvidence, moment: Moment) -> None:
    right = evidence.teacher.argmax(1) == evidence.labels
    found = PerClass(NONE, evidence, 0).ratio(moment)
    for output in range(3):
        expected = right[evidence.labels == output].double().mean()
        torch.testing.assert_close(found[moment.targets.argmax(1) == output].unique(), expected[None])
    torch.testing.assert_close(found[3], right.double().mean())  # no training row


def test_the_loss_rule_is_published_and_keeps_the_labels_weight(evidence: RowEvidence, moment: Moment) -> None:
    found = LossRule(NONE, evidence, 0).weights(moment)
    assert set(found) == {"teacher"}
    expected = 1 - (-moment.student_loss / moment.teacher_loss).exp()
    torch.testing.assert_close(found["teacher"], expected, rtol=1e-4, atol=0)
    behind = replace(moment, student=-20 * moment.targets, teacher=20 * moment.targets)
    assert LossRule(NONE, evidence, 0).ratio(behind).min() > 0.999


def test_confidence_is_the_teacher_s_probability(evidence: RowEvidence, moment: Moment) -> None:
    probabilities = moment.teacher.softmax(1)
    label = Confidence(ConfidenceSettings(), evidence, 0).ratio(moment)
    torch.testing.assert_close(label, probabilities[torch.arange(12), moment.targets.argmax(1)])
    top = Confidence(ConfidenceSettings(of="top"), evidence, 0).ratio(moment)
    assert torch.equal(top, probabilities.amax(1))


def test_bikd_reads_two_losses_and_its_weights_need_not_sum_to_one(evidence: RowEvidence, moment: Moment) -> None:
    policy = BiKD(BiKDSettings(), evidence, 0).double()
    found = policy.weights(moment)
    assert torch.equal(policy.features(moment), torch.stack([moment.student_loss, moment.teacher_loss], 1))
    assert ((found["truth"] + found["teacher"] - 1).abs() > 1e-3).any()


def test_learned_ratios_wait_at_one_half_and_stay_within_bounds(evidence: RowEvidence, moment: Moment) -> None:
    waiting = TGeo(TGeoSettings(warmup=0.3), evidence, 0).double()
    assert waiting.ratio(moment).tolist() == [0.5] * 12
    assert not waiting.ratio(moment).requires_grad
    assert waiting.ratio(replace(moment, progress=0.3)).requires_grad
    bounded = TGeo(TGeoSettings(bounded=True), evidence, 0).double()
    with torch.no_grad():
        for parameter in bounded.parameters():
            parameter.mul_(1e4)
    found = bounded.ratio(moment)
    assert found.min() >= 0.01
    assert found.max() <= 0.99


def test_a_new_network_is_near_one_half(evidence: RowEvidence, moment: Moment) -> None:
    assert (TGeo(TGeoSettings(), evidence, 0).double().ratio(moment) - 0.5).abs().max() < 0.2
