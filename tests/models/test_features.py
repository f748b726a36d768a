"""Features, classifier rows, and images of another shape."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from selkd import models
from selkd.errors import UserError
from selkd.models.adapt import fitted
from selkd.models.classifier import Classifier
from selkd.models.features import features, head_of


@pytest.mark.parametrize("name", ["cnn", "mlp", "resnet8", "wrn_16_1"])
def test_the_last_layer_makes_the_logits_of_the_features(name: str):
    classifier = Classifier(models.build(name, channels=1, outputs=3, image_size=16), [0.4], [0.3]).eval()
    images = torch.rand(5, 1, 16, 16)
    head = head_of(classifier, 3)
    torch.testing.assert_close(head(features(classifier, 3, images)), classifier(images))


def test_a_network_without_a_linear_end_is_refused():
    with pytest.raises(UserError, match="does not end in a linear layer"):
        head_of(Classifier(nn.Sequential(nn.Conv2d(1, 3, 1), nn.Flatten()), [0], [1]), 3)


def test_images_that_fit_are_not_touched():
    images = torch.rand(2, 3, 8, 8)
    assert fitted(images, 3, 8) is images


def test_greys_are_repeated_and_colours_weighed():
    grey = torch.rand(2, 1, 4, 4)
    assert torch.equal(fitted(grey, 3, 4), grey.expand(2, 3, 4, 4))
    torch.testing.assert_close(fitted(fitted(grey, 3, 4), 1, 4), grey)
    with pytest.raises(UserError, match="images of 2 channels"):
        fitted(torch.rand(1, 2, 4, 4), 3, 4)


@pytest.mark.parametrize("side", [4, 16])
def test_another_size_keeps_range_and_mean(side: int):
    images = F.interpolate(torch.rand(3, 1, 2, 2), size=(8, 8), mode="nearest")
    found = fitted(images, 1, side)
    assert found.shape == (3, 1, side, side)
    assert 0 <= found.min() <= found.max() <= 1
    torch.testing.assert_close(found.mean((2, 3)), images.mean((2, 3)), atol=0.03, rtol=0)
