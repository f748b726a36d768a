"""The attending ratio network: what it computes, what it tells apart, and which heads are refused."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from selkd.config import RunConfig, validate
from selkd.errors import UserError
from selkd.selection import RowEvidence
from selkd.weighting import Moment
from selkd.weighting.attention import Attending, Attention
from selkd.weighting.tgeo import TGeo, TGeoSettings


def policy(evidence: RowEvidence, **settings: Any) -> TGeo:
    return TGeo(TGeoSettings(**settings), evidence, 0).double()


def config(**weighting: Any) -> dict[str, Any]:
    return {"data": {"outer": 0.1}, "teacher": "t", "objective": "kd", "weighting": {"policy": "tgeo", **weighting}}


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_a_layer_is_the_attention_of_torch_added_to_its_input(heads: int) -> None:
    torch.manual_seed(0)
    ours, theirs = Attending(8, heads).double(), nn.MultiheadAttention(8, heads, batch_first=True).double()
    mine = (ours.ask.weight, ours.ask.bias, ours.join.weight, ours.join.bias)
    others = (theirs.in_proj_weight, theirs.in_proj_bias, theirs.out_proj.weight, theirs.out_proj.bias)
    with torch.no_grad():
        for own, other in zip(mine, others, strict=True):
            other.copy_(own)
    vectors = torch.randn(5, 9, 8, dtype=torch.float64)
    expected = F.leaky_relu(vectors + theirs(vectors, vectors, vectors)[0])
    torch.testing.assert_close(ours(vectors), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("outputs", [2, 3, 300])
@pytest.mark.parametrize("heads", [1, 2, 3])
@pytest.mark.parametrize("features", ["full", "summary"])
def test_few_and_many_outputs_have_a_ratio_a_row_near_one_half(outputs: int, heads: int, features: str) -> None:
    labels = torch.arange(2 * outputs) % outputs
    answers = torch.full((len(labels), outputs), 1 / outputs, dtype=torch.float64).log()
    evidence = RowEvidence(torch.arange(len(labels)), labels, outputs, 1, lambda: answers)
    logits = 3 * torch.randn(7, outputs, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = F.one_hot(torch.arange(7) % outputs, outputs).double()
    found = policy(evidence, heads=heads, features=features).ratio(
        Moment(logits, -logits, targets, torch.arange(7), 0, 0.0)
    )
    assert found.shape == (7,)
    assert (found - 0.5).abs().max() < 0.2
    assert found.unique().numel() == 7


@pytest.mark.parametrize("relations", ["sg-tg", "intra", "inter", "both"])
@pytest.mark.parametrize("parts", ["vertices", "edges", "both"])
def test_every_ablation_of_the_features_has_a_vector_for_each_edge_and_vertex(
    evidence: RowEvidence, moment: Moment, relations: str, parts: str
) -> None:
    edges, vertices = {"sg-tg": (2, 3), "intra": (3, 3), "inter": (3, 3), "both": (5, 4)}[relations]
    found = policy(evidence, heads=2, dim=6, relations=relations, parts=parts)
    assert found.ratio(moment).shape == (12,)
    network = found.network
    assert isinstance(network, Attention)
    assert network.shape == (edges * (parts != "vertices") + vertices * (parts != "edges"), 4)


def test_vectors_are_told_apart_and_rows_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    network = Attention(3, 4, dim=6, heads=2, layers=1).double()
    rows = torch.randn(5, 12, dtype=torch.float64)
    swapped = rows.view(5, 3, 4)[:, [1, 0, 2]].flatten(1)
    assert ((network(swapped) - network(rows)).abs() > 1e-6).all()
    torch.testing.assert_close(network(rows[2:3]), network(rows)[2:3], rtol=1e-12, atol=1e-15)
    assert network(rows[:0]).shape == (0, 1)  # a worker may have no row


def test_every_layer_but_the_last_attends() -> None:
    networks = [Attention(3, 4, dim=6, heads=3, layers=layers) for layers in (1, 2)]
    one, two = (sum(p.numel() for p in network.parameters()) for network in networks)
    assert two - one == sum(p.numel() for p in Attending(6, 3).parameters())
    assert [len(network.layers) for network in networks] == [1, 2]


def test_the_gradient_reaches_every_parameter(evidence: RowEvidence, moment: Moment) -> None:
    found = policy(evidence, heads=3, dim=7, layers=3)
    found.ratio(moment).sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in found.parameters())


@pytest.mark.parametrize(
    ("weighting", "told"),
    [
        ({"heads": 0}, "weighting.heads: 0 is refused: input should be greater than or equal to 1."),
        ({"heads": 9, "dim": 8}, "weighting.heads: 9 heads share weighting.dim: 8, and each needs one at least."),
        ({"heads": 2, "layers": 1}, "weighting.heads: 2 does nothing with weighting.layers: 1. Remove weighting.heads"),
        (
            {"heads": 2, "parity": "official"},
            "weighting.heads: 2 does nothing with weighting.parity: official. Remove weighting.heads, or set "
            "weighting.parity=null.",
        ),
    ],
)
def test_heads_that_cannot_attend_are_refused(weighting: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as error:
        validate(RunConfig, config(**weighting), "run.yaml")
    assert str(error.value).startswith(f"run.yaml: {told}")


def test_heads_are_of_the_geometry_alone() -> None:
    with pytest.raises(UserError, match=r"weighting\.heads: unknown key"):
        validate(RunConfig, config() | {"weighting": {"policy": "bikd", "heads": 2}}, "run.yaml")


def test_runs_without_heads_keep_their_keys_and_records_are_read_again() -> None:
    plain, none, two = (RunConfig.model_validate(config(**w)) for w in ({}, {"heads": None}, {"heads": 2}))
    assert plain.key == none.key == "student-856c67e097"
    assert two.key != plain.key
    for one in (plain, two):
        assert RunConfig.model_validate(one.model_dump(mode="json")) == one
        assert RunConfig.model_validate_json(one.model_dump_json()) == one
