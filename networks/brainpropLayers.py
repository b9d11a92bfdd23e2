"""The layers of BrainProp's nets: where torch's own are slow, or made for one process."""

from __future__ import annotations

import math

import torch
from torch import nn

from parallel import ALONE, Summed, Team

KERNEL = 3  # filters are 3x3


class ChannelsLast(nn.Module):
    """Images (batch, channels, height, width), the same, with the channels last in memory.

    oneDNN convolves those several times faster, and with the strides written out, as here, those
    of one channel, too (1.5 instead of 18 ms for a batch of MNIST).
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.permute(0, 2, 3, 1).flatten(1)
        return rows.unflatten(1, (*x.shape[2:], x.shape[1])).permute(0, 3, 1, 2)


class FlattenImages(nn.Module):
    """(batch, channels, height, width) -> (batch, height * width * channels), a view."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


class Dropout(nn.Dropout):
    """Dropout that spends 16 random bits per unit; torch's own draws a double on the CPU.

    A rate is met to 1e-5 and the units that are kept are scaled by what is really met. It takes
    a third of the time, which was a tenth of an epoch of `conv`.

    axis: of the samples.
    """

    team: Team = ALONE

    def __init__(self, rate: float, axis: int = 0) -> None:
        super().__init__(rate)
        self.axis = axis

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.p == 0.0:
            return x
        kept = round((1.0 - self.p) * 2**16)  # of all values of 16 bits
        shape = self.team.whole_shape(x.shape, self.axis)
        n = math.prod(shape)
        words = torch.empty(-(-n // 4), dtype=torch.int64, device=x.device)
        bits = words.random_(-(2**63), None).view(torch.int16)[:n]
        mask = (bits < kept - 2**15).to(x.dtype).mul_(2**16 / kept)
        if x.is_contiguous():
            mask = mask.view(shape)
        else:  # channels last: lay the mask out in the same way
            mask = mask.view(shape[0], *shape[2:], shape[1]).movedim(-1, 1)
        return x * self.team.cut(mask, self.axis)


class ToPositions(nn.Module):
    """Images (batch, channels, height, width) -> (positions, channels, batch)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(2, 3, 1, 0).flatten(0, 1).contiguous()


class FromPositions(nn.Module):
    """(positions, channels, batch) -> (batch, positions * channels), a view."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(0, 1).t()


class Patches(torch.autograd.Function):
    """What the filters at each position see: (height, width, channels, batch) ->
    (positions, KERNEL * KERNEL * channels, batch).

    Autograd would find the backward pass by itself, through code that goes number by number; here
    each of the KERNEL * KERNEL parts of all patches is added in one go.
    """

    @staticmethod
    def forward(ctx, grid: torch.Tensor, stride: int) -> torch.Tensor:
        ctx.shape, ctx.stride = grid.shape, stride
        patches = grid.unfold(0, KERNEL, stride).unfold(1, KERNEL, stride)
        patches = patches.permute(0, 1, 4, 5, 2, 3)  # (rows, columns, KERNEL, KERNEL, channels, b)
        return patches.flatten(0, 1).flatten(1, 3)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        total = gradient.new_zeros(ctx.shape)
        height, width, channels, _ = ctx.shape
        rows, columns = (positions_along(n, ctx.stride) for n in (height, width))
        parts = gradient.unflatten(1, (KERNEL, KERNEL, channels)).unflatten(0, (rows, columns))
        for i in range(KERNEL):
            for j in range(KERNEL):
                below = total[i :: ctx.stride, j :: ctx.stride][:rows, :columns]
                below += parts[:, :, i, j]
        return total, None


def positions_along(n: int, stride: int) -> int:
    """How many filters fit along n pixels without padding."""
    return (n - KERNEL) // stride + 1


class LocallyConnected(nn.Module):
    """A convolution without shared weights: every position has filters of its own.

    All positions are one batched matrix product. For that, activity is (positions, channels,
    batch): a patch is then made of long contiguous runs, and cheap to gather.

    Attributes:
        weight: (positions, KERNEL * KERNEL * channels, filters), of the output's positions; the
            middle axis runs over rows, columns and channels of the patch, in this order.
    """

    def __init__(self, channels: int, filters: int, size: tuple[int, int], stride: int):
        super().__init__()
        self.size, self.stride = size, stride
        self.size_out = tuple(positions_along(n, stride) for n in size)
        positions = self.size_out[0] * self.size_out[1]
        self.weight = nn.Parameter(torch.empty(positions, KERNEL * KERNEL * channels, filters))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(positions, channels, batch) of the layer below -> (positions, filters, batch)."""
        patches = Patches.apply(x.unflatten(0, self.size), self.stride)
        return torch.bmm(self.weight.transpose(1, 2), patches)


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation with Keras's defaults, under which the results were published.

    With weights this small the activity before the first normalisation is far below sqrt(eps): eps
    decides how strongly it is magnified, and 1e-5, torch's default, makes another network.

    (batch, channels, ...) or, of `loccon`, (positions, channels, batch). Taught by several
    processes it takes mean and variance of the whole batch; torch's own layer for that is for GPUs.
    """

    team: Team = ALONE

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-3, momentum=0.01)

    def _check_input_dim(self, x: torch.Tensor) -> None:
        """Any number of dimensions is fine."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.team.alone or not self.training:
            return super().forward(x)
        axes = [0, *range(2, x.ndim)]
        n = self.team.total(x.new_tensor(x.numel() // x.shape[1]))
        mean = Summed.apply(x.sum(axes), self.team) / n  # (channels,)
        centred = x - self.along(mean, x)
        variance = Summed.apply(centred.square().sum(axes), self.team) / n
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (n / (n - 1)), self.momentum)
            self.num_batches_tracked += 1
        gain = self.weight * (variance + self.eps).rsqrt()
        return centred * self.along(gain, x) + self.along(self.bias, x)

    def along(self, v: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """A value per channel, in a shape that broadcasts with x."""
        return v.view(-1, *[1] * (x.ndim - 2))
