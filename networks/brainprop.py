"""BrainProp: reward-based learning of one chosen output unit at a time, and the error
backpropagation (EBP) it is judged against (Pozzi, Bohte & Roelfsema 2020, NeurIPS).

    net = build_classifier("conv", shape=(1, 28, 28), n_classes=10, seed=0)
    lesson = learn_by_brainprop(net, data, target, Schedule(lr_tab=[0.1], ...))   # one batch
    answer = look(net, data, target, schedule).output.argmax(1)                   # (batch,)

Why the gradient of the loss on the chosen unit is the paper's rule. The loss of a sample is
1/2 (r - q_k)^2, k the chosen unit and r its reward, so that for any weight w

    -dloss/dw = (r - q_k) dq_k/dw = delta * dq_k/dw.

delta is one number for the whole network, the reward-prediction error, which a neuromodulator can
broadcast. dq_k/dw is what the attentional feedback makes locally known: it starts as 1 at the
chosen unit and 0 at all others, and each layer passes down what it received through the transposed
weights, gated by the units that are active (the derivative of ReLU). For a synapse from i to j that
gives delta * (feedback at j) * (activity of i): presynaptic activity, times postsynaptic feedback
where the unit is active, times the broadcast error. Backpropagation through the graph of q_k
computes exactly these products, with delta multiplied in at the top instead of at each synapse,
which is the same because everything below the output is linear in the feedback. An update is the
mean over the batch. Where there is batch normalisation, its mean and variance are differentiated,
too, as in the published program: there a sample's feedback is not its own alone.

The nets are the published ones: no layer has a bias (batch normalisation has its own), and both
rules start from the same weights if they get the same seed. They have no state between batches but
the running mean and variance of batch normalisation, which are part of `state_dict()`.
"""

from __future__ import annotations

import copy
import ctypes
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import skip_init

from networks.base import Network
from networks.rules import Rule
from networks.schedule import Lesson, Schedule
from parallel import ALONE, Summed, Team

EPSILON = 0.02  # share of choices that are drawn instead of greedy
KERNEL = 3  # filters are 3x3
# Of mallopt: the threshold of mapping, that of trimming, and what is asked for at a time.
GLIBC_KEEPS = ((-3, 2**25), (-1, 2**30), (-2, 2**26))
STD_DENSE, STD = 0.01, 0.005  # of the initial weights, of `dense` and of all others
HIDDEN = (1500, 1000, 500)  # units of the hidden layers of `dense`, as published
L2_DEEP = 5e-4  # the penalty is this times the sum of squares: its gradient has a factor 2


# ------------------------------------------------------------------------------------- the layers


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


class Classifier(Network, nn.Sequential):
    """A net of the paper, from `build_classifier`; its output is linear, (batch, n_classes).

    Attributes:
        architecture, shape, n_classes: what it was built for.
        multiplications: of a forward pass, for a sample.
        epsilon: share of explored choices, in [0, 1].
        l2: the loss has l2 * the sum of squares of `kernels`, 0 for all but `deep`.
        kernels: the weights of the layers, from the input to the output.
    """

    architecture: str
    shape: tuple[int, ...]
    n_classes: int
    epsilon: float
    l2: float
    multiplications: int = 0
    broadcast: torch.Tensor  # (batch,), what a feedback of 1 is as a gradient of the loss

    def options(self) -> dict[str, Any]:
        return {"architecture": self.architecture, "epsilon": self.epsilon} | self.sizes()

    def sizes(self) -> dict[str, list[int]]:
        """Of `dense` with other hidden layers than the published ones, all its layers'."""
        sizes = [weight.shape[0] for weight in self.kernels[::-1]]
        if self.architecture != "dense" or tuple(sizes[:0:-1]) == HIDDEN:
            return {}
        return {"size_tab": [*sizes, math.prod(self.shape)]}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The output q; with noise in the activity of the units, and in what they feed back.

        The feedback begins as 1 at the chosen unit; what a layer receives of it has noise as large
        beside that 1 as the activity's own.
        """
        if not self.noise.shakes:
            return super().forward(x)
        axis = 0  # of the samples
        for layer in self:
            x = layer(x)
            axis = {ToPositions: -1, FromPositions: 0}.get(type(layer), axis)
            if isinstance(layer, nn.ReLU):
                x = x + self.noise.drawn(x.detach())
                if x.requires_grad:
                    x.register_hook(functools.partial(self.feed_back, axis))
        return x + self.noise.drawn(x.detach())

    def feed_back(self, axis: int, gradient: torch.Tensor) -> torch.Tensor:
        """What a layer receives on the way back, with noise; axis: of the samples."""
        shape = [1] * gradient.dim()
        shape[axis] = -1
        return gradient + self.noise.drawn(gradient) * self.broadcast.view(shape)

    @property
    def devices(self) -> list[nn.Parameter]:
        return self.kernels

    @property
    def kernels(self) -> list[nn.Parameter]:
        kinds = (nn.Linear, nn.Conv2d, LocallyConnected)
        return [layer.weight for layer in self if isinstance(layer, kinds)]


# ------------------------------------------------------------------------------ the architectures


class Stack:
    """Layers under construction; `shape` is what the next one gets."""

    def __init__(self, architecture: str, shape: Sequence[int]):
        self.architecture, self.shape = architecture, tuple(shape)
        self.layers: list[nn.Module] = []
        self.multiplications = 0  # of a forward pass, for a sample

    def conv(self, filters: int, stride: int = 1) -> None:
        """Convolution with padding 1, ReLU, batch normalisation."""
        channels, *size = self.shape
        # No weights are drawn here: that would shift torch's global generator.
        layer = skip_init(
            nn.Conv2d, channels, filters, KERNEL, stride=stride, padding=1, bias=False
        )
        self.layers += [layer, nn.ReLU(inplace=True), BatchNorm(filters)]
        self.shape = (filters, *((n - 1) // stride + 1 for n in size))
        self.multiplications += layer.weight.numel() * self.shape[1] * self.shape[2]

    def locally_connected(self, filters: int, stride: int = 1) -> None:
        """The same without padding and with filters of its own at every position."""
        channels, *size = self.shape
        self.need(KERNEL, "locally connected", "a filter")
        layer = LocallyConnected(channels, filters, tuple(size), stride)
        self.multiplications += layer.weight.numel()
        self.layers += [layer, nn.ReLU(inplace=True), BatchNorm(filters)]
        self.shape = (filters, *layer.size_out)

    def pool(self) -> None:
        channels, *size = self.shape
        self.need(2, "max-pooling", "a window")
        self.layers.append(nn.MaxPool2d(2))
        self.shape = (channels, *(n // 2 for n in size))

    def drop(self, rate: float, axis: int = 0) -> None:
        self.layers.append(Dropout(rate, axis))

    def dense(self, n_out: int) -> None:
        """A layer of all-to-all connections; the caller decides on what follows."""
        n_in = 1
        for n in self.shape:
            n_in *= n
        self.layers.append(skip_init(nn.Linear, n_in, n_out, bias=False))
        self.multiplications += n_in * n_out
        self.shape = (n_out,)

    def need(self, least: int, kind: str, part: str) -> None:
        """Raise ValueError unless the maps are as large as what moves over them."""
        height, width = self.shape[1:]
        if min(height, width) < least:
            number = 1 + sum(isinstance(layer, LAYERS_BY_KIND[kind]) for layer in self.layers)
            raise ValueError(
                f"the images are too small for {self.architecture}: {kind} layer {number} gets"
                f" {height}x{width}, {part} covers {least}x{least}"
            )


LAYERS_BY_KIND = {"locally connected": LocallyConnected, "max-pooling": nn.MaxPool2d}


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


def dense(stack: Stack, hidden: Sequence[int] = HIDDEN) -> None:
    stack.layers.append(nn.Flatten())
    for n in hidden:
        stack.dense(n)
        stack.layers.append(nn.ReLU(inplace=True))


def conv(stack: Stack) -> None:
    stack.layers.append(ChannelsLast())
    stack.conv(32)
    stack.conv(32, stride=2)
    stack.layers.append(FlattenImages())
    stack.drop(0.3)
    hidden_and_drop(stack)


def loccon(stack: Stack) -> None:
    stack.layers.append(ToPositions())
    stack.locally_connected(32)
    stack.locally_connected(32, stride=2)
    stack.drop(0.3, axis=-1)
    stack.layers.append(FromPositions())
    hidden_and_drop(stack)


def deep(stack: Stack) -> None:
    stack.layers.append(ChannelsLast())
    for filters, drop in (((64, 64), 0.3), ((128, 128), 0.3), ((128, 128, 128), 0.8)):
        for n in filters:
            stack.conv(n)
        stack.pool()
        stack.drop(drop)
    stack.layers.append(FlattenImages())
    hidden_and_drop(stack)


def hidden_and_drop(stack: Stack) -> None:
    stack.dense(500)
    stack.layers.append(nn.ReLU(inplace=True))
    stack.drop(0.3)


ARCHITECTURES: dict[str, Callable[[Stack], None]] = {
    "dense": dense,
    "conv": conv,
    "loccon": loccon,
    "deep": deep,
}


def build_classifier(
    architecture: str,
    shape: Sequence[int],
    n_classes: int,
    seed: int = 0,
    epsilon: float = EPSILON,
    hidden: Sequence[int] | None = None,
) -> Classifier:
    """A network of the paper with its initial weights, which depend on the arguments alone.

    `conv` and `deep` pad their maps by 1, which keeps their size at stride 1. At stride 2 on an
    even size only one of the two margins is read: torch's first where the published program, with
    Keras's padding "same", used the last; that is the same network for mirrored images.

    Args:
        architecture: a key of `ARCHITECTURES`.
        shape: of the data, (channels, height, width); `dense` takes any.
        epsilon: share of explored choices, in [0, 1].
        hidden: units of the hidden layers of `dense`, from the input to the output; the published
            ones unless given.
    Raises:
        ValueError: the images do not fit the architecture, or an argument is out of range.
    """
    if architecture not in ARCHITECTURES:
        names = ", ".join(ARCHITECTURES)
        raise ValueError(f"there is no architecture {architecture!r}, only {names}")
    if architecture != "dense" and len(shape) != 3:
        raise ValueError(
            f"{architecture} needs images (channels, height, width), the data have shape"
            f" {tuple(shape)}: use dense"
        )
    if n_classes < 2:
        raise ValueError(f"n_classes is {n_classes}, there must be at least two to choose from")
    if not 0.0 <= epsilon <= 1.0:
        raise ValueError(f"epsilon is {epsilon}, a share of choices lies in [0, 1]")
    if hidden is not None and architecture != "dense":
        raise ValueError(f"hidden is for dense, {architecture} has the layers of the paper")
    stack = Stack(architecture, shape)
    if hidden is None:
        ARCHITECTURES[architecture](stack)
    else:
        dense(stack, hidden)
    stack.dense(n_classes)
    net = Classifier(*stack.layers)
    net.architecture, net.shape, net.n_classes = architecture, tuple(shape), n_classes
    net.epsilon, net.multiplications = epsilon, stack.multiplications
    net.l2 = L2_DEEP if architecture == "deep" else 0.0
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in net.kernels:
            weight.normal_(0.0, STD_DENSE if architecture == "dense" else STD, generator=generator)
    return net


# ------------------------------------------------------------------------- the choice and the loss


def choose(
    q: torch.Tensor, epsilon: float, team: Team = ALONE
) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose one output unit per sample: the largest, or with probability epsilon a draw.

    A draw is from softmax(q), as arg max(q + g), g with the Gumbel distribution: one arg max serves
    both. It may fall on the largest unit, too. Randomness is from torch's global generator.

    Args:
        q: (batch, n_classes).
    Returns:
        chosen: (batch,), int64 unit.
        explored: (batch,), bool, where a draw was made.
    """
    q = q.detach()
    shape = team.whole_shape(q.shape)
    explored = team.cut(torch.rand(shape[0], 1, device=q.device) < epsilon)  # (batch, 1)
    gumbel = team.cut(q.new_empty(shape).exponential_().log_().neg_())  # (batch, n_classes)
    return torch.where(explored, q + gumbel, q).argmax(1), explored.squeeze(1)


def brainprop_loss(q: torch.Tensor, chosen: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Half the squared reward-prediction error of the chosen units, mean over the batch.

    The published program tells the chosen unit by its output not being 0, so that a unit of output
    0 learns nothing, and divides by the nominal batch size also where the last batch is smaller:
    here the choice is handed over, and a batch is as large as it is.

    Args:
        q: (batch, n_classes). chosen: (batch,), int64. target: (batch, n_classes), one-hot.
    """
    k = chosen.unsqueeze(1)
    delta = target.gather(1, k) - q.gather(1, k)  # (batch, 1)
    return delta.square().sum() / (2 * len(q))


def ebp_loss(q: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of softmax(q), mean over the batch; target (batch, n_classes), one-hot."""
    return F.cross_entropy(q, target.argmax(1))


# ------------------------------------------------------------------------------------- one batch


def learn_by_brainprop(
    net: Classifier,
    data: torch.Tensor,
    target: torch.Tensor,
    schedule: Schedule,
    start: list[torch.Tensor] | None = None,
) -> Lesson:
    """Teach one batch by BrainProp, in place, at the rate schedule.lr_tab[0].

    Choice and dropout draw from torch's global generator: seed it per batch to be able to go on
    from anywhere.

    Args:
        data: (batch, *net.shape), in [0, 1]. target: (batch, n_classes), one-hot.
        start: not used, these nets have no state that outlasts a batch.
    Returns:
        The output q (batch, n_classes) before the update, and as measure `explored` the share of
        samples whose unit was drawn.
    """
    q = answer_in_training(net, data)
    chosen, explored = choose(q, net.epsilon, net.team)
    delta = (target - q.detach()).gather(1, chosen.unsqueeze(1)).squeeze(1)
    net.broadcast = net.team.weight * delta / len(q)
    descend(net, brainprop_loss(q, chosen, target), schedule.lr_tab[0])
    return Lesson(q.detach(), measures={"explored": explored.to(q.dtype).mean()})


def learn_by_ebp(
    net: Classifier,
    data: torch.Tensor,
    target: torch.Tensor,
    schedule: Schedule,
    start: list[torch.Tensor] | None = None,
) -> Lesson:
    """Teach one batch by error backpropagation; the output is softmax(q), before the update.

    See `learn_by_brainprop`.
    """
    q = answer_in_training(net, data)
    net.broadcast = q.new_full((len(q),), net.team.weight / len(q))
    descend(net, ebp_loss(q, target), schedule.lr_tab[0])
    return Lesson(q.detach().softmax(1))


@torch.no_grad()
def look(
    net: Classifier,
    data: torch.Tensor,
    target: torch.Tensor,
    schedule: Schedule,
    start: list[torch.Tensor] | None = None,
) -> Lesson:
    """Test on one batch: the output (batch, n_classes), whose arg max is the answer."""
    if net.training:
        net.eval()
    return Lesson(net(data))


def look_at_softmax(net, data, target, schedule, start=None) -> Lesson:
    """The same for a net taught by EBP, whose output is softmax(q)."""
    return Lesson(look(net, data, target, schedule).output.softmax(1))


Classifier.rules = {
    "BrainProp": Rule(learn_by_brainprop, look),
    "EBP": Rule(learn_by_ebp, look_at_softmax),
}


def answer_in_training(net: Classifier, data: torch.Tensor) -> torch.Tensor:
    """q (batch, n_classes) with its graph; batch normalisation and dropout as in training."""
    if not net.training:
        net.train()
    with torch.enable_grad():
        return net(data)


@torch.no_grad()
def descend(net: Classifier, loss: torch.Tensor, rate: float) -> None:
    """One step of descent on loss + net.l2 * (sum of squares of the kernels).

    It is plain gradient descent, unless the net has an optimiser.

    The loss is the mean over the samples of this process. Through batch normalisation others'
    losses depend on its activity, so that the shares are weighed before the way back.
    """
    parameters = list(net.parameters())
    weight = torch.full_like(loss, net.team.weight)
    gradients = torch.autograd.grad(loss, parameters, weight)
    net.team.add_up(gradients)
    with net.noise.clean():
        add_to_weights(net, parameters, gradients, rate)


def add_to_weights(
    net: Classifier, parameters: list[nn.Parameter], gradients: Sequence[torch.Tensor], rate: float
) -> None:
    """The update of `descend`, from gradients of all parameters, in place."""
    if net.optimizer is not None:
        penalised = {id(kernel) for kernel in net.kernels} if net.l2 else set()
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if id(parameter) in penalised:
                gradient.add_(parameter, alpha=2.0 * net.l2)
        net.optimizer.step(parameters, gradients, [-rate] * len(parameters))
        return
    if net.l2:
        torch._foreach_mul_(net.kernels, 1.0 - 2.0 * rate * net.l2)
    torch._foreach_add_(parameters, gradients, alpha=-rate)


def cosine_to_backpropagation(net: Classifier, data: torch.Tensor, target: torch.Tensor) -> float:
    """Cosine between BrainProp's update, of greedy choices, and that of backpropagation, which

    descends half the squared error of all outputs; of all parameters together. The net, and torch's
    random numbers, are left as they are.
    """
    net = copy.deepcopy(net)
    with torch.random.fork_rng(enabled=data.device.type == "cpu"), torch.enable_grad():
        q = answer_in_training(net, data)
        parameters = list(net.parameters())
        losses = (
            brainprop_loss(q, q.detach().argmax(1), target),
            (target - q).square().sum() / (2 * len(q)),
        )
        flat = [
            torch.cat(
                [g.flatten() for g in torch.autograd.grad(loss, parameters, retain_graph=True)]
            )
            for loss in losses
        ]
    return torch.cosine_similarity(*flat, dim=0).item()


def keep_freed_memory() -> bool:
    """Let this process keep the memory it frees, for the next batch; return whether it does.

    The activity of a layer of `conv` is 13 MB. Handed back to the system and asked for anew with
    every batch, it has to be cleared every time, which took a sixth of an epoch. The setting is
    for the whole process, of glibc (the C library of most Linux systems): blocks below 32 MB are
    not mapped one by one, and up to 1 GB that is free at the end stays. Elsewhere nothing changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    accepted = [mallopt(setting, value) for setting, value in GLIBC_KEEPS]
    return all(accepted)
