"""Architectures are found by name, and what cannot be built is refused with the nearest thing that can."""

from typing import Any

import pytest
import torch

from selkd import models
from selkd.errors import UserError
from selkd.models import registry

SHAPE: dict[str, Any] = {"channels": 3, "outputs": 10, "image_size": 32}


def test_every_name_belongs_to_one_family():
    names = models.names()
    assert len(names) == len(set(names))
    assert {"resnet8x4", "wrn_40_2", "cnn", "mlp", "torchvision:resnet18"} <= set(names)


def test_every_setting_is_described_and_has_a_default():
    for family in models.FAMILIES:
        family.settings()
        assert all(field.description for field in family.settings.model_fields.values())


@pytest.mark.parametrize(
    ("name", "hint"),
    [("resnet_20", "'resnet20'"), ("resnet18", "'torchvision:resnet18'"), ("wrn-40-2", "'wrn_40_2'"), ("?", "Valid: ")],
)
def test_an_unknown_architecture_is_refused_with_the_nearest(name: str, hint: str):
    with pytest.raises(UserError, match="is not an architecture") as error:
        models.build(name, **SHAPE)
    assert hint in str(error.value)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("cnn", {"widht": 8}, "cnn has no setting 'widht'. Did you mean 'width'?"),
        ("cnn", {"width": 0}, "cnn.width: 0 is refused"),
        ("cnn", {"width": "wide"}, "cnn.width: 'wide' is refused"),
        ("cnn", {"dropout": 1.0}, "cnn.dropout: 1.0 is refused"),
        ("mlp", {"hidden": [16, -1]}, "mlp.hidden.1: -1 is refused"),
        ("resnet20", {"width": 8}, "resnet20 has no setting 'width'"),
    ],
)
def test_wrong_settings_are_refused_by_key(name: str, settings: dict[str, Any], message: str):
    with pytest.raises(UserError) as error:
        models.check(name, settings)
    assert message in str(error.value)


def test_every_wrong_setting_is_named_at_once():
    with pytest.raises(UserError, match=r"width.*\n?.*depth"):
        models.check("cnn", {"width": 0, "depth": 0})


@pytest.mark.parametrize(("name", "size"), [("torchvision:alexnet", 28), ("torchvision:vit_b_32", 33)])
def test_images_an_architecture_cannot_read_are_refused_when_it_is_built(name: str, size: int):
    with pytest.raises(UserError, match=f"does not read 3 x {size} x {size} images"):
        models.build(name, channels=3, outputs=10, image_size=size)


def test_the_same_seed_builds_the_same_network_and_the_check_draws_nothing():
    torch.manual_seed(5)
    first = models.build("wrn_16_1", **SHAPE, dropout=0.5)
    after = torch.rand(1)
    torch.manual_seed(5)
    settings = models.check("wrn_16_1", {"dropout": 0.5})
    second = registry.find("wrn_16_1").build("wrn_16_1", models.Interface(**SHAPE), settings)
    assert torch.equal(torch.rand(1), after)
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_a_new_network_has_seen_no_batch():
    network = models.build("resnet8", **SHAPE)
    assert network.training
    assert int(network.get_buffer("bn1.num_batches_tracked")) == 0
    assert torch.equal(network.get_buffer("bn1.running_mean"), torch.zeros(16))
