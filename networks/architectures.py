"""BrainProp's architectures, as published, and how a net of one is built.

net = build_classifier("conv", shape=(1, 28, 28), n_classes=10, seed=0)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from networks.brainprop import HIDDEN, Classifier
from networks.brainpropLayers import (
    KERNEL,
    BatchNorm,
    ChannelsLast,
    Dropout,
    FlattenImages,
    FromPositions,
    LocallyConnected,
    ToPositions,
)

EPSILON = 0.02  # share of choices that are drawn instead of greedy
STD_DENSE, STD = 0.01, 0.005  # of the initial weights, of `dense` and of all others
L2_DEEP = 5e-4  # the penalty is this times the sum of squares: its gradient has a factor 2


def undrawn(kind: type[nn.Module], *sizes: int, **options: int) -> nn.Module:
    """A layer without biases whose weights may be anything: to draw some would shift the generator.

    It is what torch.nn.utils.skip_init makes, which takes 0.8 s at its first call.
    """
    layer = kind(*sizes, bias=False, device="meta", **options)
    layer.weight = nn.Parameter(torch.empty(layer.weight.shape))
    return layer


class Stack:
    """Layers under construction; `shape` is what the next one gets."""

    def __init__(self, architecture: str, shape: Sequence[int]):
        self.architecture, self.shape = architecture, tuple(shape)
        self.layers: list[nn.Module] = []
        self.multiplications = 0  # of a forward pass, for a sample

    def conv(self, filters: int, stride: int = 1) -> None:
        """Convolution with padding 1, ReLU, batch normalisation."""
        channels, *size = self.shape
        layer = undrawn(nn.Conv2d, channels, filters, KERNEL, stride=stride, padding=1)
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
        self.layers.append(undrawn(nn.Linear, n_in, n_out))
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
