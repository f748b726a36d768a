"""Images of one shape for a network that reads another."""

import torch
from torch import Tensor
from torch.nn import functional as F

from selkd.errors import UserError

LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601


def fitted(images: Tensor, channels: int, side: int) -> Tensor:
    """Images [B, C, H, W] in [0, 1] as `channels` x `side` x `side`: greys repeated, colours weighed, resampled."""
    given = images.shape[1]
    if given == 3 and channels == 1:
        images = torch.einsum("bchw,c->bhw", images, images.new_tensor(LUMINANCE))[:, None]
    elif given == 1 and channels != 1:
        images = images.expand(-1, channels, -1, -1)
    elif given != channels:
        raise UserError(f"images of {given} channels cannot be shown to a network that reads {channels}.")
    if images.shape[2:] == (side, side):
        return images
    return F.interpolate(images, size=(side, side), mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)
