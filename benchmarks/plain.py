"""Plain step-by-step equilibrium propagation: the yardstick of the benchmarks.

One module per connection, every product recomputed at every step, every result a new tensor.
Nothing is cached, fused or written in place, and nothing is slowed down either: this is how one
writes the equations down first, and how the published programs run them. `training.py` checks the
project's networks against these and times both.

    net = PlainEPcont([10, 512, 784], "sigm", dt=0.2, clamp=True)
    for data, target in plain_loader(images, labels, batch_size=20):
        net.ep_update(data, target, T=100, Kmax=12, beta=0.5, lr_tab=[0.05, 0.1])

Layer 0 is the output, sizes are listed from the output backwards; `w[i]` carries layer i + 1 to
layer i. Letters as in Ernoult et al. 2019: `s` the state, `T` and `Kmax` the steps of the free and
the nudged phase, `beta` the nudge.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset


def sigm(v):
    return 1 / (1 + torch.exp(-4 * (v - 0.5)))


def sigm_prime(v):
    return 4 * sigm(v) * (1 - sigm(v))


def hardsigm(v):
    return v.clamp(min=0).clamp(max=1)


def hardsigm_prime(v):
    return ((v >= 0) & (v <= 1)).to(v.dtype)


def tanh_prime(v):
    return 1 - torch.tanh(v) ** 2


ACTIVATIONS = {
    "sigm": (sigm, sigm_prime),
    "hardsigm": (hardsigm, hardsigm_prime),
    "tanh": (torch.tanh, tanh_prime),
}


class PlainImages(Dataset):
    """Images and labels, converted one sample at a time.

    Args:
        images: uint8 array (n, height, width) or (n, channels, height, width).
        labels: integer array (n,).
        flatten: a sample is a vector (for dense networks) and not a (channels, height, width) map.
    """

    def __init__(self, images, labels, flatten=True, n_classes=10):
        self.images, self.labels = images, labels
        self.flatten, self.n_classes = flatten, n_classes

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = self.to_tensor(self.images[index])
        return (image.reshape(-1) if self.flatten else image), self.one_hot(self.labels[index])

    def to_tensor(self, image):
        image = torch.from_numpy(image if image.ndim == 3 else image[None])
        return image.to(torch.get_default_dtype()).div(255)  # (channels, height, width), in [0, 1]

    def one_hot(self, label):
        target = torch.zeros(self.n_classes)
        target[int(label)] = 1
        return target


def plain_loader(images, labels, batch_size, flatten=True, shuffle=False):
    """Batches (data, one-hot target) of uint8 images, collated from single samples."""
    return DataLoader(
        PlainImages(images, labels, flatten), batch_size, shuffle=shuffle, num_workers=0
    )


class PlainNetwork(nn.Module):
    """A state driven to rest, and the two ways to learn from it.

    A subclass fills `w` (a module per connection, in the order of `lr_tab`) and gives
    `init_hidden`, `step` and `correlations`. The output is layer 0 of `layers(s)`.
    """

    def __init__(self, activation):
        super().__init__()
        self.rho, self.rho_prime = ACTIVATIONS[activation]
        self.w = nn.ModuleList()

    def init_hidden(self, batch):
        """A state of zeros for `batch` samples."""
        raise NotImplementedError

    def step(self, data, s, target=None, beta=0.0):
        """The next state; nudged towards `target` unless beta is 0."""
        raise NotImplementedError

    def correlations(self, data, s):
        """What EP compares between the phases: (for the weight, for the bias) per connection."""
        raise NotImplementedError

    def layers(self, s):
        return s

    def run(self, data, s, steps, target=None, beta=0.0):
        for _ in range(steps):
            s = self.step(data, s, target, beta)
        return s

    @torch.no_grad()
    def free(self, data, s, T):
        return self.run(data, s, T)

    @torch.no_grad()
    def nudged(self, data, s, K, target, beta):
        return self.run(data, s, K, target, beta)

    @torch.no_grad()
    def ep_update(self, data, target, T, Kmax, beta, lr_tab):
        """One training batch by EP; returns the states at the end of both phases."""
        s_free = self.free(data, self.init_hidden(len(data)), T)
        s_nudged = self.nudged(data, s_free, Kmax, target, beta)
        scale = 1 / (beta * len(data))
        pairs = zip(self.correlations(data, s_nudged), self.correlations(data, s_free), strict=True)
        gradients = [[scale * (n - f) for n, f in zip(*pair, strict=True)] for pair in pairs]
        for w, lr, (grad_weight, grad_bias) in zip(self.w, lr_tab, gradients, strict=True):
            w.weight.data += lr * grad_weight
            w.bias.data += lr * grad_bias
        return s_free, s_nudged

    def bptt_update(self, data, target, T, Kmax, lr_tab):
        """One training batch by descent through the last `Kmax` of `T` steps; returns the state."""
        s = self.free(data, self.init_hidden(len(data)), T - Kmax)
        s = self.run(data, s, Kmax)
        loss = 0.5 * ((self.layers(s)[0] - target) ** 2).sum() / len(data)
        self.zero_grad()
        loss.backward()
        for w, lr in zip(self.w, lr_tab, strict=True):
            w.weight.data -= lr * w.weight.grad
            w.bias.data -= lr * w.bias.grad
        return s


class PlainDense(PlainNetwork):
    """Dense layers with Euler steps of length dt; a subclass gives the velocity.

    Args:
        size_tab: units per layer, from the output back to the data.
        activation: a key of `ACTIVATIONS`.
        dt: length of a step.
        clamp: keep states in [0, 1].
    """

    def __init__(self, size_tab, activation, dt, clamp):
        super().__init__(activation)
        self.size_tab, self.dt, self.clamp = size_tab, dt, clamp

    def init_hidden(self, batch):
        return [self.w[0].weight.new_zeros(batch, n) for n in self.size_tab[:-1]]

    def velocity(self, data, s, target, beta):
        """ds/dt per layer, (batch, n_i)."""
        raise NotImplementedError

    def step(self, data, s, target=None, beta=0.0):
        velocity = self.velocity(data, s, target, beta)
        return [self.clip(x + self.dt * v) for x, v in zip(s, velocity, strict=True)]

    def clip(self, x):
        if not self.clamp:
            return x
        x = torch.where(x < 0, torch.zeros_like(x), x)
        return torch.where(x > 1, torch.ones_like(x), x)


class PlainLayered(PlainDense):
    """A chain of dense layers, each connected to its two neighbours by one matrix."""

    def __init__(self, size_tab, activation, dt, clamp):
        super().__init__(size_tab, activation, dt, clamp)
        self.w.extend(nn.Linear(n_in, n_out) for n_out, n_in in pairwise(size_tab))

    def emitted(self, x):
        """What the neighbours of a layer see of it."""
        raise NotImplementedError

    def drives(self, data, s):
        """The input of each layer from both its neighbours, (batch, n_i)."""
        drives = [w(self.emitted(x)) for w, x in zip(self.w, [*s[1:], data], strict=True)]
        for i, x in enumerate(s[:-1]):
            drives[i + 1] = drives[i + 1] + self.emitted(x) @ self.w[i].weight
        return drives

    def correlations(self, data, s):
        out = [self.emitted(x) for x in [*s, data]]
        return [(post.t() @ pre, post.sum(0)) for post, pre in pairwise(out)]


class PlainEPcont(PlainLayered):
    """Energy-based setting, in continuous time. As published, the output has no factor rho'."""

    def __init__(self, size_tab, activation, dt=0.2, clamp=True):
        super().__init__(size_tab, activation, dt, clamp)

    def emitted(self, x):
        return self.rho(x)

    def velocity(self, data, s, target, beta):
        drives = self.drives(data, s)
        velocity = [drives[0] - s[0]]
        if beta:
            velocity[0] = velocity[0] + beta * (target - s[0])
        for x, drive in zip(s[1:], drives[1:], strict=True):
            velocity.append(self.rho_prime(x) * drive - x)
        return velocity


class PlainEPdisc(PlainLayered):
    """Prototypical setting: with dt = 1 a step is s <- rho(drive)."""

    def __init__(self, size_tab, activation, dt=1.0):
        super().__init__(size_tab, activation, dt, clamp=False)

    def emitted(self, x):
        return x

    def velocity(self, data, s, target, beta):
        velocity = [self.rho(d) - x for d, x in zip(self.drives(data, s), s, strict=True)]
        if beta:
            velocity[0] = velocity[0] + beta * (target - s[0])
        return velocity


class PlainToy(PlainDense):
    """Output (0) and one hidden layer (1) that both see the data (x); `w` holds 01, 0x and 1x."""

    def __init__(self, size_tab, activation, dt=0.2, clamp=True):
        super().__init__(size_tab, activation, dt, clamp)
        n_0, n_1, n_x = size_tab
        self.w.extend([nn.Linear(n_1, n_0), nn.Linear(n_x, n_0), nn.Linear(n_x, n_1)])

    def velocity(self, data, s, target, beta):
        w_01, w_0x, w_1x = self.w
        r_0, r_1, r_x = self.rho(s[0]), self.rho(s[1]), self.rho(data)
        out = self.rho_prime(s[0]) * (w_01(r_1) + w_0x(r_x)) - s[0]
        hidden = self.rho_prime(s[1]) * (w_1x(r_x) + r_0 @ w_01.weight) - s[1]
        if beta:
            out = out + beta * (target - s[0])
        return [out, hidden]

    def correlations(self, data, s):
        r_0, r_1, r_x = self.rho(s[0]), self.rho(s[1]), self.rho(data)
        pairs = [(r_0, r_1), (r_0, r_x), (r_1, r_x)]
        return [(post.t() @ pre, post.sum(0)) for post, pre in pairs]


class ConvState(NamedTuple):
    """Layers, output first, and where each pooling of the step that made them found its maxima."""

    layers: list
    winners: list


class PlainConvEP(PlainNetwork):
    """Prototypical setting with convolutions, each followed by max-pooling, below dense layers.

    Args:
        size_tab: units of the dense layers, output first.
        C_tab: channels of the convolutional layers, the deepest first, the data last.
        input_size: height (= width) of the data.
        Fconv, Fpool: edge of the filters, and edge and stride of the pooling windows.
        padding: pad each convolution by (Fconv - 1) // 2.
    """

    def __init__(self, size_tab, C_tab, input_size, activation, Fconv=5, Fpool=2, padding=False):
        super().__init__(activation)
        self.Fpool, self.pad = Fpool, (Fconv - 1) // 2 if padding else 0
        self.conv_sizes, self.map_shapes, size = [], [], input_size
        for channels in reversed(C_tab[:-1]):
            self.conv_sizes.insert(0, size - Fconv + 1 + 2 * self.pad)
            size = self.conv_sizes[0] // Fpool
            self.map_shapes.insert(0, (channels, size, size))
        self.size_tab = size_tab
        sizes = [*size_tab, int(np.prod(self.map_shapes[0]))]
        self.w.extend(nn.Linear(n_in, n_out) for n_out, n_in in pairwise(sizes))
        self.w.extend(
            nn.Conv2d(c_in, c_out, Fconv, padding=self.pad) for c_out, c_in in pairwise(C_tab)
        )

    def init_hidden(self, batch):
        shapes = [(n,) for n in self.size_tab] + self.map_shapes
        return ConvState([self.w[0].weight.new_zeros(batch, *shape) for shape in shapes], [])

    def layers(self, s):
        return s.layers

    def unpool(self, k, x, winners):
        """Maps of convolution k: each value of `x` where its window had the maximum, else 0."""
        size = (self.conv_sizes[k], self.conv_sizes[k])
        return F.max_unpool2d(x, winners, self.Fpool, self.Fpool, output_size=size)

    def step(self, data, s, target=None, beta=0.0):
        layers, m = s.layers, len(self.size_tab)
        drives, winners = [], []
        for w, x in zip(self.w[:m], layers[1 : m + 1], strict=True):
            drives.append(w(x.flatten(1)))
        for w, x in zip(self.w[m:], [*layers[m + 1 :], data], strict=True):
            drive, winner = F.max_pool2d(w(x), self.Fpool, self.Fpool, return_indices=True)
            drives.append(drive)
            winners.append(winner)
        for i, x in enumerate(layers[:m]):
            drives[i + 1] = drives[i + 1] + (x @ self.w[i].weight).view_as(drives[i + 1])
        for i, x in enumerate(layers[m:-1], start=m):
            x = self.unpool(i - m, x, winners[i - m])
            drives[i + 1] = drives[i + 1] + F.conv_transpose2d(
                x, self.w[i].weight, padding=self.pad
            )
        new = [self.rho(drive) for drive in drives]
        if beta:
            new[0] = new[0] + beta * (target - layers[0])
        return ConvState(new, winners)

    def correlations(self, data, s):
        m, pre = len(self.size_tab), [*s.layers[1:], data]
        dense = [(s.layers[i].t() @ pre[i].flatten(1), s.layers[i].sum(0)) for i in range(m)]
        conv = []
        for k, winners in enumerate(s.winners):
            post = self.unpool(k, s.layers[m + k], winners)
            weight = self.w[m + k].weight
            grad = nn.grad.conv2d_weight(pre[m + k], weight.shape, post, padding=self.pad)
            conv.append((grad, post.sum((0, 2, 3))))
        return dense + conv
