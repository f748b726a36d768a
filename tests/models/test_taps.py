"""Taps show what modules put out, and leave the model as it was."""

import pytest
import torch
from torch import nn

from selkd import models
from selkd.errors import UserError
from selkd.models.classifier import Classifier
from selkd.models.taps import tap


@pytest.fixture
def model() -> Classifier:
    return Classifier(models.build("resnet8", channels=3, outputs=4, image_size=16), [0.5] * 3, [0.2] * 3)


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


def test_features_are_the_module_outputs_unpooled(model: Classifier):
    images = torch.rand(2, 3, 16, 16)
    with tap(model, {"mid": "network.layer2", "last": "network.layer3"}) as features:
        logits = model(images)
    assert features["mid"].shape == (2, 32, 8, 8)
    assert torch.equal(model.network.get_submodule("layer3")(features["mid"]), features["last"])
    assert torch.equal(model.network.get_submodule("fc")(features["last"].mean((2, 3))), logits)


def test_gradients_flow_through_features(model: Classifier):
    with tap(model, {"mid": "network.layer2"}) as features:
        model(torch.rand(2, 3, 16, 16))
    features["mid"].square().mean().backward()
    assert model.network.get_parameter("conv1.weight").grad is not None
    assert model.network.get_parameter("layer3.0.conv1.weight").grad is None


def test_each_pass_replaces_the_features(model: Classifier):
    with tap(model, {"mid": "network.layer1"}) as features:
        for rows in (3, 0, 2):
            model(torch.rand(rows, 3, 16, 16))
            assert len(features["mid"]) == rows


def test_a_later_change_in_place_does_not_reach_the_feature():
    model = nn.Sequential(nn.Identity(), nn.ReLU(inplace=True))
    x = torch.tensor([[-1.0, 2.0]])
    with tap(model, {"before": "0"}) as features:
        model(x.clone())
    assert torch.equal(features["before"], x)


def test_no_hook_remains(model: Classifier):
    with tap(model, {"mid": "network.layer2"}):
        assert hooks(model) == 1
    assert hooks(model) == 0
    with pytest.raises(RuntimeError, match="interrupted"), tap(model, {"mid": "network.layer2"}):
        raise RuntimeError("interrupted")
    assert hooks(model) == 0


def test_an_unknown_path_is_refused_with_the_nearest_and_leaves_no_hook(model: Classifier):
    with (
        pytest.raises(UserError, match=r"'network.layer9'.*Did you mean 'network.layer"),
        tap(model, {"first": "network.layer1", "mid": "network.layer9"}),
    ):
        pass
    assert hooks(model) == 0


def test_outputs_that_are_no_tensor_are_refused():
    class Pair(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x, x

    model = nn.Sequential(Pair())
    with pytest.raises(UserError, match="puts out a tuple"), tap(model, {"pair": "0"}):
        model(torch.rand(1, 2))
