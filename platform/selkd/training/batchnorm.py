"""Batch normalisation over the rows of all workers. torch's SyncBatchNorm runs on CUDA only."""

import torch
from torch import Tensor, nn

from selkd.training.workers import Workers


class SharedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Normalises with mean and variance of the global batch; equals torch's layer in one process."""

    def __init__(self, like: nn.modules.batchnorm._BatchNorm, workers: Workers) -> None:
        super().__init__(like.num_features, like.eps, like.momentum, like.affine, like.track_running_stats)
        self._check_input_dim = like._check_input_dim
        self.workers = workers
        for name, tensor in [*like.named_parameters(), *like.named_buffers()]:
            setattr(self, name, tensor)
        self.train(like.training)

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        axes = [0, *range(2, input.dim())]
        shape = [1, -1] + [1] * (input.dim() - 2)
        values = input if input.dtype == torch.float64 else input.float()
        count = self.workers.sum_(values.new_tensor(float(values.numel() // self.num_features)))
        if count == 1:
            raise ValueError("expected more than 1 value per channel when training")
        mean = self.workers.sum(values.sum(axes)) / count
        centred = values - mean.view(shape)
        variance = self.workers.sum(centred.square().sum(axes)) / count
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.num_batches_tracked += 1
            rate = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean.detach().to(self.running_mean.dtype), rate)
            unbiased = variance.detach() * count / (count - 1).clamp(min=1)
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), rate)
        normal = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(input.dtype)


def share_batch_norm(model: nn.Module, workers: Workers) -> nn.Module:
    """Replace every batch normalisation of `model` by its shared form; parameters keep their identity."""
    if workers.size == 1:
        return model
    for name, child in model.named_children():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            setattr(model, name, SharedBatchNorm(child, workers))
        else:
            share_batch_norm(child, workers)
    return model
