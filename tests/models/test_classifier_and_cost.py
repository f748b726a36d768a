"""A classifier normalises; costs are counted, and measuring changes nothing."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from selkd import models
from selkd.models import cost
from selkd.models.classifier import Classifier


def test_a_classifier_normalises_by_channel():
    classifier = Classifier(nn.Flatten(), [0.5, 0.25], [0.5, 0.125])
    images = torch.tensor([[[[1.0]], [[0.5]]]])
    assert classifier(images).tolist() == [[1.0, 2.0]]


def test_normalisation_follows_device_precision_and_state():
    classifier = Classifier(nn.Flatten(), [0.1], [0.3]).double()
    assert classifier(torch.rand(1, 1, 2, 2, dtype=torch.float64)).dtype == torch.float64
    assert set(classifier.state_dict()) == {"mean", "std"}
    assert not list(classifier.parameters())


def test_multiply_adds_are_counted_by_hand():
    network = models.build("mlp", channels=1, outputs=4, image_size=8, hidden=[32])
    assert cost.multiply_adds(network, (1, 8, 8)) == 64 * 32 + 32 * 4
    assert cost.multiply_adds(nn.Conv2d(3, 5, 3, padding=1), (3, 6, 7)) == 6 * 7 * 5 * 27


@pytest.mark.parametrize("name", ["cnn", "mlp", "resnet8", "resnet8x4", "resnet20", "wrn_16_2", "torchvision:vit_b_16"])
def test_multiply_adds_are_half_of_the_operations_that_torch_counts(name: str) -> None:
    side = 16 if name.startswith("torchvision") else 8
    network = models.build(name, channels=3, outputs=5, image_size=side).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, side, side))
    assert 2 * cost.multiply_adds(network, (3, side, side)) == counter.get_total_flops() > 0
    assert not network._forward_hooks


def test_multiply_adds_of_resnet20_are_the_published_41_million():
    network = models.build("resnet20", channels=3, outputs=10, image_size=32)
    assert round(cost.multiply_adds(network, (3, 32, 32)) / 1e6) == 41


def test_latency_is_positive_and_counts_every_repeat():
    passes = []
    network = models.build("cnn", channels=1, outputs=4, image_size=8)
    network.register_forward_hook(lambda *_: passes.append(1))
    assert cost.latency(network, (1, 8, 8), "cpu", batch_size=2, repeats=5) > 0
    assert len(passes) == 8


def test_measuring_leaves_mode_and_statistics_alone():
    network = models.build("resnet8", channels=1, outputs=4, image_size=8)
    frozen = network.get_submodule("layer1.0.bn1").eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    cost.multiply_adds(network, (1, 8, 8))
    cost.latency(network, (1, 8, 8), "cpu", repeats=1)
    assert network.training and not frozen.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
