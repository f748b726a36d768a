"""The features of TGeo-KD: exact identities between edges and vertices, and the teacher's class means."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from selkd.selection import RowEvidence
from selkd.weighting import Moment, geometry
from selkd.weighting.tgeo import TGeo, TGeoSettings


def policy(evidence: RowEvidence, **settings: Any) -> TGeo:
    return TGeo(TGeoSettings(**settings), evidence, 0).double()


def test_all_features_are_nine_numbers_an_output(evidence: RowEvidence, moment: Moment) -> None:
    assert policy(evidence).features(moment).shape == (12, 36)


def test_edges_add_up_and_vanish_over_outputs(evidence: RowEvidence, moment: Moment) -> None:
    edges = policy(evidence, parts="edges").features(moment).view(12, 5, 4)
    sg, tg, st, mg, sm = edges.unbind(1)
    torch.testing.assert_close(sg, tg + st, rtol=0, atol=1e-15)
    torch.testing.assert_close(sg, mg + sm, rtol=0, atol=1e-15)
    assert edges.sum(2).abs().max() < 1e-15


def test_every_vertex_is_a_distribution(evidence: RowEvidence, moment: Moment) -> None:
    vertices = policy(evidence, parts="vertices").features(moment).view(12, 4, 4)
    torch.testing.assert_close(vertices.sum(2), torch.ones(12, 4, dtype=torch.float64), rtol=0, atol=1e-14)
    assert vertices.min() >= 0


def test_where_all_agree_only_the_class_mean_has_edges(evidence: RowEvidence, moment: Moment) -> None:
    sure = 1e4 * moment.targets
    sg, tg, st, mg, sm = (
        policy(evidence, parts="edges").features(replace(moment, student=sure, teacher=sure)).view(12, 5, 4).unbind(1)
    )
    assert not sg.any()
    assert not tg.any()
    assert not st.any()
    assert mg.abs().amax(1).min() > 0
    assert torch.equal(mg, -sm + sg)


@pytest.mark.parametrize("relations", ["sg-tg", "intra", "inter", "both"])
@pytest.mark.parametrize("parts", ["vertices", "edges", "both"])
@pytest.mark.parametrize("features", ["full", "summary"])
def test_every_ablation_has_the_width_its_network_reads(
    evidence: RowEvidence, moment: Moment, relations: str, parts: str, features: str
) -> None:
    found = policy(evidence, relations=relations, parts=parts, features=features)
    assert found.ratio(moment).shape == (12,)
    if relations in ("sg-tg", "intra"):
        assert torch.equal(found.features(moment), found_without_means(found, moment))


def found_without_means(found: TGeo, moment: Moment) -> Tensor:
    """Features when the class means are something else."""
    found.get_buffer("means").fill_(0.25)
    return found.features(moment)


def test_squared_edges_lose_the_sign_alone(evidence: RowEvidence, moment: Moment) -> None:
    signed, squared = (policy(evidence, parts="edges", edges=kind).features(moment) for kind in ("signed", "squared"))
    assert torch.equal(squared, signed.square())


def test_the_published_order_is_vertices_then_squared_edges(evidence: RowEvidence, moment: Moment) -> None:
    """Script order: student, teacher, truth, class mean; then the edges."""
    found = policy(evidence, parity="official").features(moment)
    s, t, g = moment.student_probabilities, moment.teacher_probabilities, moment.targets
    m = geometry.class_means(evidence)[moment.targets.argmax(1)]
    expected = [s, t, g, m, *((a - b).square() for a, b in ((g, s), (g, t), (t, s), (g, m), (m, s)))]
    assert torch.equal(found, torch.cat(expected, 1))


def test_summaries_are_norms_label_probabilities_and_entropies(evidence: RowEvidence, moment: Moment) -> None:
    found = policy(evidence, features="summary").features(moment)
    assert found.shape == (12, 11)
    s = moment.student_probabilities
    torch.testing.assert_close(found[:, 0], (moment.targets - s).square().sum(1).sqrt())
    torch.testing.assert_close(found[:, 5], s[torch.arange(12), moment.targets.argmax(1)])
    torch.testing.assert_close(found[:, 8], -(s * s.log()).sum(1))


def test_class_means_are_those_of_a_loop_and_uniform_without_rows(evidence: RowEvidence) -> None:
    means, answers = geometry.class_means(evidence), evidence.teacher.exp()
    for output in range(3):
        torch.testing.assert_close(means[output], answers[evidence.labels == output].mean(0), rtol=1e-14, atol=0)
    assert means[3].tolist() == [0.25] * 4
    torch.testing.assert_close(means.sum(1), torch.ones(4, dtype=torch.float64), rtol=1e-14, atol=0)
    order = torch.randperm(len(evidence), generator=torch.Generator().manual_seed(0))
    shuffled = replace(evidence, labels=evidence.labels[order], ask_teacher=answers[order].log)
    torch.testing.assert_close(geometry.class_means(shuffled), means, rtol=1e-13, atol=1e-16)


def test_two_outputs_have_eighteen_features() -> None:
    labels = torch.arange(8) % 2
    evidence = RowEvidence(torch.arange(8), labels, 2, 1, lambda: torch.full((8, 2), 0.5).double().log())
    student = torch.randn(5, 2, generator=torch.Generator().manual_seed(0)).double()
    targets = F.one_hot(torch.arange(5) % 2, 2).double()
    assert policy(evidence).features(Moment(student, -student, targets, torch.arange(5), 0, 0.0)).shape == (5, 18)


def test_a_soft_label_is_a_soft_vertex_with_the_class_mean_of_its_largest(
    evidence: RowEvidence, moment: Moment
) -> None:
    soft = 0.6 * moment.targets + 0.1
    vertices = policy(evidence).vertices(replace(moment, targets=soft))
    assert torch.equal(vertices["G"], soft)
    assert torch.equal(vertices["M"], policy(evidence).vertices(moment)["M"])
