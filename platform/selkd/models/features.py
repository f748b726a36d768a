"""What a classifier's last layer reads: features of images, and the rows that answer them."""

import torch
from torch import Tensor, nn

from selkd.errors import UserError
from selkd.models.classifier import Classifier


def head_of(classifier: Classifier, outputs: int) -> nn.Linear:
    """The last linear layer, if it has one row an output."""
    layers = [module for module in classifier.modules() if isinstance(module, nn.Linear)]
    if not layers or layers[-1].out_features != outputs:
        raise UserError("the network does not end in a linear layer, so it has neither features nor rows.")
    return layers[-1]


@torch.no_grad()
def features(classifier: Classifier, outputs: int, images: Tensor) -> Tensor:
    """What the last layer reads [B, d] of images in [0, 1]."""
    seen: list[Tensor] = []
    with head_of(classifier, outputs).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])):
        classifier(images.to(classifier.mean))
    return seen[-1].flatten(1)
